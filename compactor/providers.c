/* Providers' names: those of OpenTelemetry (gen_ai.provider.name, gen_ai.system) and of LiteLLM (custom_llm_provider), and the plain ones. */
#include "providers.h"

#include <string.h>
#include <strings.h>

/* What it is called, then all other names of it. */
enum { NAMES_MAX = 10 };
static const char *const providers[][NAMES_MAX] = {
	{"anthropic", "anthropic_text"},
	{"aws_bedrock", "bedrock", "aws.bedrock", "bedrock_converse", "amazon_bedrock", "amazon-bedrock"},
	{"azure", "azure.ai.openai", "azure_openai", "azure-openai", "az.ai.openai", "azure_text"},
	{"azure_ai", "azure.ai.inference", "az.ai.inference"},
	{"cohere", "cohere_chat"},
	{"databricks", "azure_databricks"},
	{"fireworks_ai", "fireworks", "fireworks-ai"},
	{"google", "gemini", "gcp.gemini", "gcp.gen_ai", "google_ai_studio", "google-ai-studio", "google_genai",
	 "google-genai"},
	{"huggingface", "hugging_face", "hugging-face"},
	{"meta", "meta_llama", "meta-llama"},
	{"mistral", "mistral_ai", "mistralai", "mistral-ai"},
	{"moonshot", "moonshot_ai"},
	{"openai", "text-completion-openai", "openai_responses"},
	{"perplexity", "perplexity_ai", "perplexityai"},
	{"together_ai", "together", "togetherai", "together-ai"},
	{"vertex_ai", "gcp.vertex_ai", "vertex_ai_beta", "vertex", "vertexai", "vertex-ai", "google_vertex",
	 "google-vertex"},
	{"watsonx", "ibm.watsonx.ai", "ibm_watsonx", "watsonx_text"},
	{"xai", "x_ai", "x.ai", "x-ai"},
};

/* All names of a provider; NULL: it has no other than this. */
static const char *const *names_of(struct ul_text provider)
{
	for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++)
		for (size_t j = 0; j < NAMES_MAX && providers[i][j]; j++)
			if (strlen(providers[i][j]) == provider.bytes &&
			    strncasecmp(providers[i][j], provider.text, provider.bytes) == 0)
				return providers[i];
	return NULL;
}

struct ul_text provider_family(struct ul_text provider)
{
	/* LiteLLM names the makers of Vertex AI's models behind a hyphen: vertex_ai-anthropic_models. */
	static const char vertex[] = "vertex_ai-";
	const char *const *known = names_of(provider);
	if (known)
		return provider_text(known[0]);
	bool is_maker = provider.bytes > strlen(vertex) && memcmp(provider.text, vertex, strlen(vertex)) == 0;
	return is_maker ? provider_text("vertex_ai") : provider;
}

uint32_t provider_name(struct names *names, uint32_t provider)
{
	struct ul_text name = names_text(names, provider), family = provider_family(name);
	return family.text == name.text && family.bytes == name.bytes ? provider
								      : names_intern(names, family.text, family.bytes);
}

const char *provider_alias(struct ul_text family, size_t index)
{
	const char *const *known = names_of(family);
	return known && index + 1 < NAMES_MAX ? known[index + 1] : NULL;
}
