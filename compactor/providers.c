/* Providers' names: those of OpenTelemetry (gen_ai.provider.name, gen_ai.system) and of LiteLLM (custom_llm_provider), and the plain ones. */
#include "providers.h"

#include <string.h>
#include <strings.h>

/* What it is called, then all other names of it. */
enum { NAMES_MAX = 8 };
static const char *const providers[][NAMES_MAX] = {
	{"anthropic", "anthropic_text"},
	{"aws_bedrock", "aws.bedrock", "bedrock", "bedrock_converse", "amazon_bedrock", "amazon-bedrock"},
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
	{"openai", "text-completion-openai", "openai_responses"},
	{"perplexity", "perplexity_ai", "perplexityai"},
	{"together_ai", "together", "togetherai", "together-ai"},
	{"vertex_ai", "gcp.vertex_ai", "vertex", "vertexai", "vertex-ai", "google_vertex", "google-vertex"},
	{"watsonx", "ibm.watsonx.ai", "ibm_watsonx", "watsonx_text"},
	{"xai", "x_ai", "x.ai", "x-ai"},
};

uint32_t provider_name(struct names *names, uint32_t provider)
{
	struct ul_text name = names_text(names, provider);
	for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++)
		for (size_t j = 0; j < NAMES_MAX && providers[i][j]; j++)
			if (strlen(providers[i][j]) == name.bytes &&
			    strncasecmp(providers[i][j], name.text, name.bytes) == 0)
				return names_intern(names, providers[i][0], strlen(providers[i][0]));
	return provider;
}
