/* log.conf: what is parsed prints as it was. */
#include <inttypes.h>
#include <string.h>

#include "conf.h"
#include "fuzz.h"
#include "seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static char printed[UL_CONF_BYTES_MAX];
	struct ul_conf conf;
	/* Not terminated, and no byte beyond. */
	if (ul_conf_parse(&conf, (const char *)data, bytes) != UL_CONF_OK)
		return 0;
	size_t printed_bytes = ul_conf_print(&conf, printed);
	FUZZ_CHECK(printed_bytes == bytes && !memcmp(printed, data, bytes));
	ul_conf_settings(&conf);
	ul_conf_clear(&conf);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
	static const char last_line[] = "checksum 0123456789abcdef\n";
	enum { LAST_BYTES = sizeof(last_line) - 1 };
	if (bytes_max < LAST_BYTES || seed % 16 == 0)
		return LLVMFuzzerMutate(data, bytes, bytes_max);
	/* The last line is made anew; what is before it changes. */
	if (bytes >= LAST_BYTES && !memcmp(data + bytes - LAST_BYTES, last_line, sizeof("checksum")))
		bytes -= LAST_BYTES;
	if (bytes > bytes_max - LAST_BYTES)
		bytes = bytes_max - LAST_BYTES;
	bytes = LLVMFuzzerMutate(data, bytes, bytes_max - LAST_BYTES);
	char line[LAST_BYTES + 1];
	snprintf(line, sizeof(line), "checksum %016" PRIx64 "\n", XXH3_64bits(data, bytes));
	memcpy(data + bytes, line, LAST_BYTES);
	return bytes + LAST_BYTES;
}
