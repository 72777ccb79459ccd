/* What both targets that come to a price table ask it. */
#ifndef USAGELOG_PRICE_ASKING_H
#define USAGELOG_PRICE_ASKING_H

#include "container.h"

/* Ask for each model of a sound table as its provider's and as nobody's: its name is found, and what it costs can be said. */
void ask_prices(const struct ul_container *table);

#endif
