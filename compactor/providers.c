/* Providers under their several names. */
#include "providers.h"

#include <string.h>

static const struct {
	const char *alias, *family;
} aliases[] = {
	{"anthropic_text", "anthropic"},
	{"aws.bedrock", "bedrock"},
	{"amazon_bedrock", "bedrock"},
	{"bedrock_converse", "bedrock"},
	{"azure.ai.openai", "azure"},
	{"azure_openai", "azure"},
	{"azure_text", "azure"},
	{"azure.ai.inference", "azure_ai"},
	{"cohere_chat", "cohere"},
	{"fireworks", "fireworks_ai"},
	{"gcp.gemini", "gemini"},
	{"gcp.gen_ai", "gemini"},
	{"google", "gemini"},
	{"google_ai_studio", "gemini"},
	{"gcp.vertex_ai", "vertex_ai"},
	{"vertex_ai_beta", "vertex_ai"},
	{"ibm.watsonx.ai", "watsonx"},
	{"watsonx_text", "watsonx"},
	{"mistral_ai", "mistral"},
	{"moonshot_ai", "moonshot"},
	{"text-completion-openai", "openai"},
	{"together", "together_ai"},
	{"x_ai", "xai"},
};
enum { ALIAS_COUNT = sizeof(aliases) / sizeof(aliases[0]) };

static bool is(struct ul_text text, const char *name)
{
	return text.bytes == strlen(name) && memcmp(text.text, name, text.bytes) == 0;
}

struct ul_text provider_family(struct ul_text provider)
{
	/* LiteLLM names the makers of Vertex AI's models behind a hyphen: vertex_ai-anthropic_models. */
	static const char vertex[] = "vertex_ai-";
	for (size_t i = 0; i < ALIAS_COUNT; i++)
		if (is(provider, aliases[i].alias))
			return provider_text(aliases[i].family);
	if (provider.bytes > strlen(vertex) && memcmp(provider.text, vertex, strlen(vertex)) == 0)
		provider.bytes = (uint32_t)strlen(vertex) - 1;
	return provider;
}

const char *provider_alias(struct ul_text family, size_t index)
{
	for (size_t i = 0; i < ALIAS_COUNT; i++)
		if (is(family, aliases[i].family) && !index--)
			return aliases[i].alias;
	return NULL;
}
