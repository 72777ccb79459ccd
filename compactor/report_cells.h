/*
 * Figures as people read them: thousands separated, tokens in brief, durations, days; with a locale's signs if one is asked for.
 */
#ifndef USAGELOG_REPORT_CELLS_H
#define USAGELOG_REPORT_CELLS_H

#include <locale.h>
#include <stddef.h>

#include "money.h"

enum { REPORT_CELL_BYTES = 64 };
#define REPORT_USD ((money_t)1000000000000)

/* `locale` 0: none, which is as in C. */
void report_print_count(char out[REPORT_CELL_BYTES], locale_t locale, money_t count);
void report_print_money(char out[REPORT_CELL_BYTES], locale_t locale, money_t pico_usd, unsigned decimals);
/* 999, 1.23k, 45.6M, 789G: cut, not rounded, so that what is shown was reached. */
void report_print_brief(char out[REPORT_CELL_BYTES], locale_t locale, money_t count);
/* Thousandths of a percent: 12.3%. */
void report_print_share(char out[REPORT_CELL_BYTES], locale_t locale, money_t share);
/* 1.5ms, 812ms, 1.53s, 26.1s, 2m05s. */
void report_print_duration(char out[REPORT_CELL_BYTES], locale_t locale, int64_t us);
/* YYYY-MM-DD, or as the locale has it. */
void report_print_day(char out[REPORT_CELL_BYTES], locale_t locale, int32_t day);

#endif
