/* The page: what is chosen, and every part of it shown for that choice. */

const KINDS = {provider: data.providers, model: data.models, operation: data.operations, error: data.errors};
const NO_NAME = {provider: '(unknown)', model: '(unknown)', operation: '(none)', error: ''};
const SERIES = 7;
const MEASURES = {
	cost: {text: 'Cost', of: sum => sum.usd, axis: formatUsd, show: sum => formatCost(sum.cost, 4)},
	tokens: {text: 'Tokens', of: sum => sum.total, axis: formatShort, show: sum => formatCount(sum.total)},
	calls: {text: 'Calls', of: sum => sum.calls, axis: formatShort, show: sum => formatCount(sum.calls)},
	errors: {text: 'Errors', of: sum => sum.errors, axis: formatShort, show: sum => formatCount(sum.errors)},
};
const TIMINGS = {latency: {text: 'Latency', measure: LATENCY}, ttft: {text: 'Time to first token', measure: TTFT}};
const PERCENTS = [50, 90, 95, 99];

const state = {first: 0, last: 0, preset: '', models: new Set(), measure: 'cost', stack: 'model', step: 'auto', timing: 'latency'};

function nameOf(kind, number) {
	return KINDS[kind][number] || NO_NAME[kind];
}

function currentFilter() {
	return new Filter(state.first - firstDay, state.last - firstDay, state.models.size ? state.models : null);
}

/* ---- dates ---- */

function monthBefore(date) {
	return {first: dayOf(date.year, date.month - 1, 1), last: dayOf(date.year, date.month, 1) - 1};
}

const now = dateOf(today);
const PRESETS = {
	'7': {text: '7 days', first: today - 6, last: today},
	'30': {text: '30 days', first: today - 29, last: today},
	'90': {text: '90 days', first: today - 89, last: today},
	'month': {text: 'This month', first: dayOf(now.year, now.month, 1), last: today},
	'before': {text: 'Last month', ...monthBefore(now)},
	'year': {text: 'This year', first: dayOf(now.year, 0, 1), last: today},
	'all': {text: 'All', first: firstDay, last: lastDay},
};

function setDates(first, last, preset) {
	state.first = first;
	state.last = last;
	state.preset = preset || Object.keys(PRESETS).find(name => PRESETS[name].first === first && PRESETS[name].last === last) || '';
	byId('from').value = formatDay(first);
	byId('to').value = formatDay(last);
	byId('from').max = byId('to').value;
	byId('to').min = byId('from').value;
	pressChoice(byId('presets'), state.preset);
	showAll();
}

function setPreset(name) {
	setDates(PRESETS[name].first, PRESETS[name].last, name);
}

/* What was asked for on the command line; else 30 days, or all if those have no call: as `usagelog summary` has it. */
function presetAtFirst() {
	if (data.period_given)
		return 'all';
	const {first, last} = PRESETS['30'];
	return sumAll(new Filter(first - firstDay, last - firstDay, null)).calls ? '30' : 'all';
}

/* ---- steps of time ---- */

const STEPS = {
	day: {text: 'day', start: day => day, label: day => showDay(day, {day: 'numeric', month: 'short'}), title: day => showDay(day, DAY_WEEK)},
	week: {text: 'week', start: day => day - dateOf(day).weekday, label: day => showDay(day, {day: 'numeric', month: 'short', year: '2-digit'}),
		title: day => 'Week from ' + showDay(day, DAY_WEEK)},
	month: {text: 'month', start: day => dayOf(dateOf(day).year, dateOf(day).month, 1), label: day => showDay(day, {month: 'short', year: 'numeric'}),
		title: day => showDay(day, {month: 'long', year: 'numeric'})},
	year: {text: 'year', start: day => dayOf(dateOf(day).year, 0, 1), label: day => String(dateOf(day).year), title: day => String(dateOf(day).year)},
};
const NEXT = {
	day: day => day + 1,
	week: day => day + 7,
	month: day => dayOf(dateOf(day).year, dateOf(day).month + 1, 1),
	year: day => dayOf(dateOf(day).year + 1, 0, 1),
};
const COLUMNS_MAX = 1500;

function stepAtHand() {
	const days = state.last - state.first + 1;
	if (state.step !== 'auto' && !(state.step === 'day' && days > COLUMNS_MAX) && !(state.step === 'week' && days > 7 * COLUMNS_MAX))
		return state.step;
	return days <= 92 ? 'day' : days <= 370 ? 'week' : days <= 3700 ? 'month' : 'year';
}

/* The columns between the dates: the first day of each, cut to the dates, its last day, and what it is called. */
function makeColumns() {
	const name = stepAtHand(), step = STEPS[name];
	const columns = [];
	for (let start = step.start(state.first); start <= state.last; start = NEXT[name](start))
		columns.push({start, first: Math.max(start, state.first), last: Math.min(NEXT[name](start) - 1, state.last), label: step.label(start),
			title: step.title(start)});
	return columns;
}

/* ---- the answer ---- */

function describePeriod() {
	const days = state.last - state.first + 1;
	if (days === 1)
		return showDay(state.first, {weekday: 'long', ...DAY_LONG});
	return `${showDay(state.first, DAY_LONG)} to ${showDay(state.last, DAY_LONG)} \u00b7 ${plural(days, 'day')}`;
}

function describeModels() {
	if (!state.models.size)
		return 'All models';
	if (state.models.size > 2)
		return plural(state.models.size, 'model');
	return [...state.models].map(model => nameOf('model', model)).join(', ');
}

/* How the cost compares with as many days before, if the data has them. */
function compareWithBefore(filter, sum) {
	const days = filter.last - filter.first + 1;
	if (filter.first - days < 0)
		return [];
	const before = sumAll(filter.withDays(filter.first - days, filter.first - 1));
	if (!(before.usd > 0))
		return [];
	const change = (sum.usd - before.usd) / before.usd;
	const text = Math.abs(change) < 0.005 ? 'about as much as' :
		change > 9.99 ? formatCount(sum.usd / before.usd) + ' times as much as' :
		`${Math.abs(100 * change).toFixed(0)} % ${change > 0 ? 'more' : 'less'} than`;
	return [`, ${text} in the ${days === 1 ? 'day' : plural(days, 'day')} before (${formatAmount(before.cost)})`];
}

function showAnswer(filter, sum, latency) {
	const days = state.last - state.first + 1;
	byId('when').textContent = describePeriod() + (state.models.size ? ' \u00b7 ' + describeModels() : '');
	byId('amount').replaceChildren(figure(exactCost(sum.cost), formatAmount(sum.cost)));
	byId('sentence').replaceChildren(
		...days > 1 ? [formatAmount(sum.cost / BigInt(days)), ' a day'] : ['On this day'], ...compareWithBefore(filter, sum), '.',
		...sum.unpriced ? [' ', element('strong', {}, plural(sum.unpriced, 'call')), ' without a price ',
			sum.unpriced === 1 ? 'is' : 'are', ' not in it.'] : []);
	showNow(filter);
	showTiles(sum, latency);
}

/* Today, this month, and what it comes to if the days that are left are as the last 30. */
function showNow(filter) {
	byId('now').hidden = data.period_given;
	if (data.period_given)
		return;
	const at = day => day - firstDay;
	const month = sumAll(filter.withDays(at(PRESETS.month.first), at(today)));
	const recent = sumAll(filter.withDays(at(today - 29), at(today)));
	const days = Math.max(1, Math.min(30, today - firstDay + 1));
	const left = dayOf(now.year, now.month + 1, 1) - 1 - today;
	const projected = month.cost + recent.cost / BigInt(days) * BigInt(left);
	byId('now').replaceChildren('Today ', amount('today', sumAll(filter.withDays(at(today), at(today))).cost),
		' \u00b7 this month so far ', amount('month', month.cost), ' \u00b7 by its end, as things go, ', amount('projected', projected));
}

function amount(id, pico) {
	const shown = figure(exactCost(pico), formatAmount(pico));
	shown.id = id;
	return shown;
}

function showTiles(sum, latency) {
	const [middle, slow] = quantiles(latency, [50, 95]);
	const tiles = [
		['calls', 'Calls', figure(sum.calls, formatCount(sum.calls)), plural(sum.errors, 'error') + ', ' + formatShare(sum.errors, sum.calls)],
		['tokens', 'Tokens', figure(sum.total, formatShort(sum.total)),
			`${formatShort(sum.prompted)} in, ${formatShort(sum.tokens[OUTPUT])} out`],
		['cache', 'Read from cache', figure(sum.tokens[CACHE_READ], formatShare(sum.tokens[CACHE_READ], sum.prompted)), 'of what was sent'],
		['latency', 'Latency', middle === null ? '\u2013' : figure(middle / 1000, formatDuration(middle)),
			slow === null ? '' : 'half are faster; 95 % within ' + formatDuration(slow)],
		['each', 'A call', sum.calls ? formatCost(sum.cost / BigInt(sum.calls), 5) : '\u2013', 'on average'],
	];
	byId('tiles').replaceChildren(...tiles.map(([id, title, value, below]) =>
		element('div', {id: 'tile-' + id}, element('dt', {}, title), element('dd', {}, value), element('dd', {class: 'below'}, below))));
}

/* ---- over time ---- */

/* The largest few of the names, each in a colour of its own, and the rest in one. A name keeps its colour where it can. */
function chooseSeries(totals, measure) {
	const sorted = [...totals].filter(([, sum]) => measure.of(sum) > 0).sort((a, b) => measure.of(b[1]) - measure.of(a[1]) || a[0] - b[0]);
	const top = sorted.slice(0, sorted.length === SERIES + 1 ? SERIES + 1 : SERIES).map(([number]) => number);
	const colours = new Map();
	for (const number of top)
		if (number >= 1 && number <= SERIES)
			colours.set(number, number);
	for (const number of top) {
		const taken = new Set(colours.values());
		if (!colours.has(number))
			colours.set(number, [1, 2, 3, 4, 5, 6, 7, 8].find(colour => !taken.has(colour)));
	}
	return {top, colours, rest: sorted.slice(top.length).map(([number]) => number)};
}

/* Sums by column and name, and over all columns. */
function sumColumns(filter, columns) {
	const columnOf = new Int32Array(filter.last - filter.first + 1);
	columns.forEach((column, at) => columnOf.fill(at, column.first - state.first, column.last - state.first + 1));
	const byColumn = sumByColumn(filter, day => columnOf[day - filter.first], state.stack);
	const totals = new Map();
	for (const sums of byColumn.values())
		for (const [number, sum] of sums)
			addSum(sumOf(totals, number), sum);
	return {byColumn, totals};
}

function addSum(sum, more) {
	for (const key of ['calls', 'errors', 'unpriced', 'unknown', 'micro', 'pico'])
		sum[key] += more[key];
	more.tokens.forEach((count, kind) => sum.tokens[kind] += count);
}

function addSums(sums) {
	const all = new Sum();
	for (const sum of sums)
		addSum(all, sum);
	return all;
}

function showDays(filter) {
	const columns = makeColumns(), measure = MEASURES[state.measure];
	const {byColumn, totals} = sumColumns(filter, columns);
	const {top, colours, rest} = chooseSeries(totals, measure);
	const valueAt = (number, at) => byColumn.get(at) && byColumn.get(at).get(number);
	const series = top.map(number => ({name: nameOf(state.stack, number), colour: colours.get(number), numbers: [number]}));
	if (rest.length)
		series.push({name: `${rest.length} others`, colour: 0, numbers: rest});
	for (const one of series)
		one.values = columns.map((_, at) => one.numbers.reduce((sum, number) => sum + (valueAt(number, at) ? measure.of(valueAt(number, at)) : 0), 0));
	const sumAt = (one, at) => addSums(one.numbers.map(number => valueAt(number, at)).filter(Boolean));
	const all = columns.map((column, at) => ({...column, name: column.title, sum: addSums(byColumn.has(at) ? byColumn.get(at).values() : [])}));
	daysChart.show({
		columns, series, format: measure.axis, details: at => describeColumn(all[at], series.map(one => [one, sumAt(one, at)]), measure),
		summary: `${measure.text} per ${STEPS[stepAtHand()].text}, by ${state.stack}; the same figures stand in the table below`,
		open: stepAtHand() === 'day' && columns.length === 1 ? null : at => setDates(columns[at].first, columns[at].last),
	});
	byId('legend').replaceChildren(...series.map(one => element('li', {}, element('span', {class: `swatch colour${one.colour}`}),
		element('bdi', {class: 'name'}, one.name), ' ', element('span', {class: 'quiet'}, measure.show(addSums(one.numbers.map(number => totals.get(number))))))));
	daysTable.show(all.filter(row => row.sum.calls || row.sum.total || row.sum.micro || row.sum.pico), {sum: addSums(all.map(row => row.sum))});
}

function describeColumn(column, parts, measure) {
	const lines = parts.filter(([, sum]) => measure.of(sum) > 0).reverse();
	return [element('strong', {}, column.title), element('span', {}, ': ' + measure.show(column.sum) + ' '),
		element('ul', {}, ...lines.map(([one, sum]) => element('li', {}, element('span', {class: `swatch colour${one.colour}`}),
			element('bdi', {class: 'name'}, one.name), ' ', element('span', {}, measure.show(sum) + ' '))))];
}

const daysChart = new Chart(byId('days-chart'), 'Over time');
const daysTable = new Table(byId('days-table'), 'Cost, calls and tokens over time', [
	{title: 'When', value: row => row.start, cell: row => element('span', {class: 'name'}, row.title)},
	costColumn(), ...sumColumnsOf(true)], 0);

/* ---- by name ---- */

function sumColumnsOf(wide) {
	const tokens = kind => row => row.sum.tokens[kind];
	return [
		countColumn('Calls', row => row.sum.calls), countColumn('Errors', row => row.sum.errors),
		...wide ? [countColumn('Input', tokens(INPUT), 'Tokens sent that came from no cache'),
			rareColumn('Cache read', tokens(CACHE_READ), 'Tokens sent that the provider had in its cache'),
			rareColumn('Cache write', row => row.sum.written, 'Tokens sent that the provider put into its cache'),
			countColumn('Output', tokens(OUTPUT), 'Tokens of the answers, reasoning included'),
			rareColumn('Reasoning', tokens(REASONING), 'Part of the output')] : [],
		countColumn(wide ? 'All tokens' : 'Tokens', row => row.sum.total),
	];
}

function makeNameTable(kind, title, caption, wide) {
	const columns = [nameColumn(title), costColumn(), shareColumn('Share', row => row.sum.usd, row => row.whole, 'Of the cost'),
		...sumColumnsOf(wide)];
	const table = new Table(byId(kind + 's-table'), caption, columns, 1);
	return filter => {
		const sums = sumByName(filter, kind), whole = addSums(sums.values());
		table.show([...sums].map(([number, sum]) => ({name: nameOf(kind, number), sum, whole: whole.usd})), {sum: whole, whole: whole.usd});
	};
}

const showModels = makeNameTable('model', 'Model', 'Usage and cost by model', true);
const showProviders = makeNameTable('provider', 'Provider', 'Usage and cost by provider', false);
const showOperations = makeNameTable('operation', 'Operation', 'Usage and cost by operation', false);

/* ---- attributes ---- */

function makeAttribute(attribute, at) {
	const box = element('div', {}), missing = element('p', {class: 'empty'}, 'It has too many values to be told apart by model.');
	byId('attributes').append(element('section', {'aria-labelledby': `attribute-${at}`},
		element('h2', {id: `attribute-${at}`, class: 'name'}, attribute.key), missing, box));
	const table = new Table(box, `Usage and cost by ${attribute.key}`, [nameColumn('Value'), costColumn(),
		shareColumn('Share', row => row.sum.usd, row => row.whole, 'Of the cost'), ...sumColumnsOf(false)], 1);
	return filter => {
		missing.hidden = attribute.by_model || !filter.models;
		box.hidden = !missing.hidden;
		const sums = sumShort(filter, attribute.rows, attribute.by_model);
		const usd = [...sums.values()].reduce((sum, one) => sum + one.usd, 0);
		table.show([...sums].map(([number, sum]) => ({name: attribute.values[number] || '(none)', sum, whole: usd})), null);
	};
}

const showAttributes = data.attributes.map(makeAttribute);

/* ---- cache ---- */

const cacheTable = new Table(byId('cache-table'), 'What of the prompts came from the cache, by model', [
	nameColumn('Model'), countColumn('Sent', row => row.sum.prompted, 'Tokens of the prompts: input, cache reads and cache writes'),
	countColumn('Cache read', row => row.sum.tokens[CACHE_READ]),
	rareColumn('Written, 5 min', row => row.sum.tokens[CACHE_WRITE_5M]), rareColumn('Written, 1 h', row => row.sum.tokens[CACHE_WRITE_1H]),
	shareColumn('Hits', row => row.sum.tokens[CACHE_READ], row => row.sum.prompted, 'Cache read, of all sent'), savingColumn()], 2);

/* Less than nothing, where what was written to the cache cost more than was saved. */
function savingColumn() {
	const cell = row => {
		if (!row.saved)
			return '\u2013';
		const cost = costOf(row.saved.micro, row.saved.pico);
		return figure(exactCost(cost), formatCost(cost, 4));
	};
	return {title: 'Saved, USD', rare: true, help: 'What the same tokens would have cost without a cache, less what they cost, by the log\u2019s prices',
		value: row => row.saved ? row.saved.micro / 1e6 + row.saved.pico / 1e12 : null, cell, total: cell};
}

function describeSaving(saved, sum) {
	const cost = costOf(saved.micro, saved.pico), shown = amount('saved', cost < 0n ? -cost : cost);
	return [cost < 0n ? ' It cost ' : ' That saved ', element('strong', {}, shown), cost < 0n ? ' more than it saved' : '',
		saved.read < sum.tokens[CACHE_READ] ? `, as far as prices are known: for ${formatShare(saved.read, sum.tokens[CACHE_READ])} of them.` : '.'];
}

function showCache(filter, sum) {
	const sums = [...sumByName(filter, 'model')].filter(([, one]) => one.tokens[CACHE_READ] + one.written > 0);
	const savings = sumSavings(filter), saved = {read: 0, micro: 0, pico: 0};
	for (const one of savings.values())
		for (const key of ['read', 'micro', 'pico'])
			saved[key] += one[key];
	byId('cache-sentence').replaceChildren(...sums.length ? [element('strong', {}, formatShare(sum.tokens[CACHE_READ], sum.prompted)),
		` of the ${formatShort(sum.prompted)} tokens sent came from a cache.`] : ['No call used a cache.'], ...savings.size ? describeSaving(saved, sum) : []);
	cacheTable.show(sums.map(([number, one]) => ({name: nameOf('model', number), sum: one, saved: savings.get(number)})),
		{sum: addSums(sums.map(([, one]) => one)), saved: savings.size ? saved : null});
	byId('cache-table').hidden = !sums.length;
}

/* ---- speed ---- */

const latencyChart = new Chart(byId('latency-chart'), 'How many calls took how long');
const latencyTable = new Table(byId('latency-table'), 'How long calls took, by model', [
	nameColumn('Model'), countColumn('Calls timed', row => row.calls), ...PERCENTS.map((percent, at) => durationColumn('p' + percent, row => row.quantiles[at]))], 1);

/* Columns of a logarithmic scale: ten for each power of ten, or fewer where the buckets are wider. */
function makeDurationColumns(counts) {
	const decade = OCTAVE >= 16 ? 10 : OCTAVE >= 4 ? 5 : 2;
	const columnOf = bucket => Math.floor(decade * Math.log10(Math.max(1, bucketMiddle(bucket))));
	const columns = [], values = [];
	const first = columnOf(Math.max(0, counts.findIndex(Boolean))), last = columnOf(Math.max(0, counts.findLastIndex(Boolean)));
	for (let column = first; countAll(counts) && column <= last; column++) {
		const start = 10 ** (column / decade), end = 10 ** ((column + 1) / decade);
		/* Those that begin near 1, 2 and 5. */
		const round = [1, 2, 5][[0, 3, 7].indexOf((column % decade + decade) % decade * 10 / decade)];
		columns.push({label: round ? formatDuration(round * 10 ** Math.floor(column / decade)).replace(/\.0+ /, ' ') : '',
			title: `${formatDuration(start)} to ${formatDuration(end)}`});
		values.push(0);
	}
	counts.forEach((count, bucket) => {
		if (count)
			values[columnOf(bucket) - first] += count;
	});
	return {columns, values};
}

function describeSpeed(all, whole) {
	const calls = countAll(all);
	if (!calls)
		return ['No call tells it.'];
	const within = quantiles(all, PERCENTS);
	const error = 100 * (2 ** (1 / OCTAVE) - 1);
	return [...PERCENTS.flatMap((percent, at) => [at ? ' \u00b7 ' : '', `${percent} % within `,
		element('strong', {}, figure(within[at] / 1000, formatDuration(within[at])))]),
		`. Of ${plural(calls, 'call')}, to within ${error < 1.2 ? 0.8 : error.toFixed(0)} %.`,
		...whole ? [] : [' Before the last 92 days this is kept by month: whole months are counted.']];
}

function showSpeed({all, byModel, whole}) {
	const timing = TIMINGS[state.timing];
	const {columns, values} = makeDurationColumns(all);
	const rowOf = (name, counts) => ({name, calls: countAll(counts), quantiles: quantiles(counts, PERCENTS)});
	byId('latency-sentence').replaceChildren(...describeSpeed(all, whole));
	byId('latency-chart').hidden = !columns.length;
	if (columns.length)
		latencyChart.show({
			columns, series: [{name: 'Calls', colour: 1, values}], format: formatShort, open: null, scale: true,
			summary: `${timing.text}: how many calls took how long; the table below has it by model`,
			details: at => [element('strong', {}, columns[at].title), ': ' + plural(values[at], 'call')],
		});
	latencyTable.show([...byModel].map(([number, counts]) => rowOf(nameOf('model', number), counts)), rowOf('', all));
	byId('latency-table').hidden = !columns.length;
}

/* ---- errors ---- */

const errorsTable = new Table(byId('errors-table'), 'Calls that failed, by error', [
	nameColumn('Error'), countColumn('Calls', row => row.sum.errors), shareColumn('Share', row => row.sum.errors, row => row.whole, 'Of the errors'),
	{title: 'Models', text: true, value: row => row.models, cell: row => element('span', {class: 'wide'}, row.models)}], 1);

function showErrors(filter, sum) {
	const counts = countErrors(filter);
	const sums = [...sumByName(filter, 'error')].filter(([number]) => number);
	const whole = addSums(sums.map(([, one]) => one));
	byId('errors-sentence').replaceChildren(...sum.errors ? [element('strong', {}, formatShare(sum.errors, sum.calls)),
		` of ${plural(sum.calls, 'call')} failed.`] : ['No call failed.']);
	errorsTable.show(sums.map(([number, one]) => {
		const models = [...counts.get(number)].sort((a, b) => b[1] - a[1]);
		const text = models.slice(0, 3).map(([model, calls]) => `${nameOf('model', model)} (${formatCount(calls)})`).join(', ');
		return {name: nameOf('error', number), sum: one, whole: whole.errors, models: text + (models.length > 3 ? ` and ${models.length - 3} more` : '')};
	}), {sum: whole});
	byId('errors-table').hidden = !sums.length;
}

/* ---- sessions and calls ---- */

const sessionsTable = new Table(byId('sessions-table'), 'Sessions by cost', [
	nameColumn('Session'), costColumn(), {title: 'Days', text: true, value: row => row.days},
	{title: 'Models', text: true, value: row => row.models, cell: row => element('span', {class: 'wide'}, row.models)},
	countColumn('Calls', row => row.sum.calls), countColumn('Errors', row => row.sum.errors), countColumn('Tokens', row => row.sum.total)], 1);

/* As page_sums.h has it. */
const SESSIONS_MAX = 2000;

function showSessions(filter) {
	const days = ({first, last}) => formatDay(firstDay + first) + (last > first ? ' to ' + formatDay(firstDay + last) : '');
	const list = [...sumShort(filter, data.session_rows, true)].map(([number, sum]) => (
		{name: data.sessions[number], days: days(sum), models: [...sum.models].map(model => nameOf('model', model)).join(', '), sum}));
	byId('sessions-sentence').textContent = !data.session_count ? 'No call names a session.' :
		data.session_count > SESSIONS_MAX ? `Of ${plural(data.session_count, 'session')} this page has the ${formatCount(SESSIONS_MAX)} dearest.` : '';
	sessionsTable.show(list, null);
	byId('sessions-table').hidden = !data.session_count;
}

const calls = data.calls.map(([day, model, time, provider, modelName, operation, error, session, input, read, written, output, priced, micro, pico, latency, ttft]) =>
	({day, model, time, provider, modelName, operation, error, session, input, read, written, output, latency, ttft,
		sum: {cost: costOf(micro, pico), usd: micro / 1e6 + pico / 1e12, unpriced: priced ? 0 : 1}}));
const textColumn = (title, key) => ({title, text: true, rare: true, value: row => row[key], cell: row => element('bdi', {class: 'name'}, row[key])});
const callsTable = new Table(byId('calls-table'), 'The last calls', [
	{...textColumn('Time', 'time'), cell: row => element('time', {class: 'name', title: row.time}, row.time.slice(0, 19).replace('T', ' '))},
	textColumn('Provider', 'provider'), textColumn('Model', 'modelName'), textColumn('Operation', 'operation'), costColumn(),
	countColumn('Input', row => row.input), rareColumn('Cache read', row => row.read), rareColumn('Cache write', row => row.written),
	countColumn('Output', row => row.output), durationColumn('Latency', row => row.latency), {...durationColumn('First token', row => row.ttft), rare: true},
	textColumn('Error', 'error'), textColumn('Session', 'session')], 0);
callsTable.descending = true;

function showCalls(filter) {
	const list = calls.filter(call => filter.hasDay(call.day) && filter.hasModel(call.model));
	byId('calls-sentence').textContent = calls.length < 1000 ? '' : 'Of the last 1,000 calls of the log, those that the filters let through.';
	callsTable.show(list, null);
}

/* ---- the whole ---- */

function showAll() {
	const filter = currentFilter(), sum = sumAll(filter), latency = sumLatency(filter, LATENCY);
	showAnswer(filter, sum, latency.all);
	showDays(filter);
	showModels(filter);
	showProviders(filter);
	showOperations(filter);
	for (const show of showAttributes)
		show(filter);
	showCache(filter, sum);
	showSpeed(state.timing === 'latency' ? latency : sumLatency(filter, TIMINGS[state.timing].measure));
	showErrors(filter, sum);
	showSessions(filter);
	showCalls(filter);
	byId('announcement').textContent = `${describePeriod()}, ${describeModels()}: ${formatAmount(sum.cost)}, ${plural(sum.calls, 'call')}`;
	keepInAddress();
}

/* What is chosen stands in the address, so that it can be kept and sent. */
function keepInAddress() {
	const chosen = new URLSearchParams(state.preset ? {days: state.preset} : {from: formatDay(state.first), to: formatDay(state.last)});
	for (const model of state.models)
		chosen.append('model', nameOf('model', model));
	history.replaceState(null, '', '#' + chosen);
}

function readAddress() {
	const chosen = new URLSearchParams(location.hash.slice(1));
	for (const name of chosen.getAll('model'))
		if (name && data.models.includes(name))
			state.models.add(data.models.indexOf(name));
	const first = parseDay(chosen.get('from') || ''), last = parseDay(chosen.get('to') || '');
	if (first <= last)
		return () => setDates(first, last);
	const preset = Object.hasOwn(PRESETS, chosen.get('days') || '') ? chosen.get('days') : presetAtFirst();
	return () => setPreset(preset);
}

function showModelsChosen() {
	byId('models-chosen').textContent = describeModels();
	for (const box of byId('models-list').querySelectorAll('input'))
		box.checked = state.models.has(Number(box.value));
}

function makeModelMenu() {
	const menu = byId('models-menu'), find = byId('models-find');
	byId('models-list').replaceChildren(...data.models.map((name, number) => number ?
		element('label', {}, element('input', {type: 'checkbox', value: number}), element('bdi', {class: 'name'}, name)) : ''));
	byId('models-list').addEventListener('change', event => {
		const number = Number(event.target.value);
		if (event.target.checked)
			state.models.add(number);
		else
			state.models.delete(number);
		showModelsChosen();
		showAll();
	});
	byId('models-all').addEventListener('click', () => {
		state.models.clear();
		showModelsChosen();
		showAll();
	});
	find.addEventListener('input', () => {
		for (const label of byId('models-list').children)
			label.hidden = !label.textContent.toLowerCase().includes(find.value.toLowerCase());
	});
	menu.addEventListener('keydown', event => {
		if (event.key === 'Escape' && menu.open) {
			menu.open = false;
			byId('models-chosen').focus();
		}
	});
	document.addEventListener('click', event => {
		if (!menu.contains(event.target))
			menu.open = false;
	});
}

function makeChoices() {
	const again = (key, show) => value => {
		state[key] = value;
		show();
	};
	const pairs = choices => Object.entries(choices).map(([value, {text}]) => [value, text]);
	fillChoice(byId('presets'), pairs(PRESETS).filter(([name]) => !data.period_given || name === 'all'), '', setPreset);
	fillChoice(byId('measures'), pairs(MEASURES), state.measure, again('measure', () => {
		pressChoice(byId('measures'), state.measure);
		showDays(currentFilter());
	}));
	fillChoice(byId('timings'), pairs(TIMINGS), state.timing, again('timing', () => {
		pressChoice(byId('timings'), state.timing);
		showSpeed(sumLatency(currentFilter(), TIMINGS[state.timing].measure));
	}));
	for (const [id, choices] of [['stack', [['model', 'model'], ['provider', 'provider'], ['operation', 'operation']]], ['step', [['auto', 'auto'], ...pairs(STEPS)]]]) {
		byId(id).replaceChildren(...choices.map(([value, text]) => element('option', {value}, text)));
		byId(id).addEventListener('change', event => again(id, () => showDays(currentFilter()))(event.target.value));
	}
	for (const id of ['from', 'to'])
		byId(id).addEventListener('change', () => {
			const first = parseDay(byId('from').value), last = parseDay(byId('to').value);
			if (first <= last)
				setDates(first, last);
		});
	byId('filters').addEventListener('submit', event => event.preventDefault());
}

/* What the figures lack. */
function showNotes() {
	const suspect = new Set();
	for (let at = 0; at < rows.length; at += ROW) {
		const day = rows[at] + firstDay;
		if (day < dayOf(2020, 0, 1) || day > today + 2)
			suspect.add(day);
	}
	const notes = [...data.notes];
	if (data.filters.length)
		notes.unshift(`Only calls with ${data.filters.map(([key, value]) => `${key} ${value}`).join(', ')}.`);
	if (suspect.size)
		notes.push(`${plural(suspect.size, 'day')} before 2020 or more than two days from now, the first on ${formatDay(Math.min(...suspect))}: a clock was wrong.`);
	if (data.damaged)
		notes.push(`${plural(data.damaged, 'entry').replace('entrys', 'entries')} of the log cannot be read and are not counted; usagelog verify tells more.`);
	byId('notes').replaceChildren(...notes.map(note => element('p', {class: 'note'}, note)));
	byId('made').textContent = `Made by usagelog ${data.version} on ${data.made.slice(0, 19).replace('T', ' ')} from ${data.log}; ` +
		`days in ${data.time_zone}. Costs are exact: point at one to see all its digits.`;
}

makeChoices();
makeModelMenu();
showNotes();
{
	const begin = readAddress();
	showModelsChosen();
	begin();
}
