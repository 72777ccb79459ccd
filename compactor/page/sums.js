/* The data, as page_data.c wrote them, and sums of them under filters. Nothing here knows what is shown. */

const data = JSON.parse(byId('data').textContent);
const today = parseDay(data.today);
const firstDay = parseDay(data.first_day);
const lastDay = parseDay(data.last_day);

/* Of a row: day, group, calls, errors, unpriced, 6 kinds of tokens, tokens of unknown kind, amount (2). */
const ROW = 14;
const rows = Float64Array.from(data.rows);
const TOKENS = 5;
const INPUT = 0, CACHE_READ = 1, CACHE_WRITE_5M = 2, CACHE_WRITE_1H = 3, OUTPUT = 4, REASONING = 5;

/* Of a group: provider, model, operation, error, scope. */
const groups = [];
for (let at = 0; at < data.groups.length; at += 5) {
	const [provider, model, operation, error, scope] = data.groups.slice(at, at + 5);
	/* An opening balance may count in days and totals only, or in breakdowns by name only (FORMAT.md 3.4). */
	groups.push({provider, model, operation, error, inTotals: scope === 0 || (scope & 1) === 1, inNames: scope !== 1});
}

/* What a row of a session or a value is of, and a latency's entry. */
const SHORT_ROW = 9;
const LATENCY_HEAD = 5;
const LATENCY = 1, TTFT = 2;

class Sum {
	calls = 0;
	errors = 0;
	unpriced = 0;
	tokens = [0, 0, 0, 0, 0, 0];
	unknown = 0;
	micro = 0;
	pico = 0;

	addRow(at) {
		this.calls += rows[at + 2];
		this.errors += rows[at + 3];
		this.unpriced += rows[at + 4];
		for (let kind = 0; kind < 6; kind++)
			this.tokens[kind] += rows[at + TOKENS + kind];
		this.unknown += rows[at + 11];
		this.micro += rows[at + 12];
		this.pico += rows[at + 13];
	}

	/* Reasoning is part of output. */
	get total() {
		return this.prompted + this.tokens[OUTPUT] + this.unknown;
	}
	get prompted() {
		return this.tokens[INPUT] + this.tokens[CACHE_READ] + this.written;
	}
	get written() {
		return this.tokens[CACHE_WRITE_5M] + this.tokens[CACHE_WRITE_1H];
	}
	/* Exactly, in pico-USD; and about, in USD, to sort and to draw by. */
	get cost() {
		return costOf(this.micro, this.pico);
	}
	get usd() {
		return this.micro / 1e6 + this.pico / 1e12;
	}
}

function costOf(micro, pico) {
	return BigInt(micro) * MILLION + BigInt(pico);
}

/* Days are counted from the first one of the data. `models`: a set of their numbers, or null for all. */
class Filter {
	constructor(first, last, models) {
		this.first = first;
		this.last = last;
		this.models = models;
	}
	hasModel(model) {
		return !this.models || this.models.has(model);
	}
	hasDay(day) {
		return day >= this.first && day <= this.last;
	}
	withDays(first, last) {
		return new Filter(first, last, this.models);
	}
}

/* The first row of this day or a later one. */
function findRow(day) {
	let low = 0;
	let high = rows.length / ROW;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (rows[middle * ROW] < day)
			low = middle + 1;
		else
			high = middle;
	}
	return low * ROW;
}

function eachRow(filter, visit) {
	const wanted = groups.map(group => filter.hasModel(group.model));
	for (let at = findRow(filter.first); at < rows.length && rows[at] <= filter.last; at += ROW)
		if (wanted[rows[at + 1]])
			visit(at, groups[rows[at + 1]]);
}

function sumOf(map, key) {
	let sum = map.get(key);
	if (!sum)
		map.set(key, sum = new Sum());
	return sum;
}

function sumAll(filter) {
	const sum = new Sum();
	eachRow(filter, (at, group) => {
		if (group.inTotals)
			sum.addRow(at);
	});
	return sum;
}

/* By what a group is of: 'provider', 'model', 'operation' or 'error'. */
function sumByName(filter, kind) {
	const sums = new Map();
	eachRow(filter, (at, group) => {
		if (group.inNames)
			sumOf(sums, group[kind]).addRow(at);
	});
	return sums;
}

/* By column, which `columnOf` tells of a day, and name: a map of maps. */
function sumByColumn(filter, columnOf, kind) {
	const columns = new Map();
	eachRow(filter, (at, group) => {
		if (!group.inTotals)
			return;
		const column = columnOf(rows[at]);
		let sums = columns.get(column);
		if (!sums)
			columns.set(column, sums = new Map());
		sumOf(sums, group[kind]).addRow(at);
	});
	return columns;
}

/* Which models each error befell: by error, a map of calls by model. */
function countErrors(filter) {
	const errors = new Map();
	eachRow(filter, (at, group) => {
		if (!group.inNames || !group.error)
			return;
		if (!errors.has(group.error))
			errors.set(group.error, new Map());
		const models = errors.get(group.error);
		models.set(group.model, (models.get(group.model) || 0) + rows[at + 2]);
	});
	return errors;
}

/* What sessions or an attribute's values come to: sums of some fields only, with days and models. `models`: do the rows tell those? */
class ShortSum {
	calls = 0;
	errors = 0;
	unpriced = 0;
	total = 0;
	micro = 0;
	pico = 0;
	first = Infinity;
	last = -Infinity;
	models = new Set();

	get cost() {
		return costOf(this.micro, this.pico);
	}
	get usd() {
		return this.micro / 1e6 + this.pico / 1e12;
	}
}

function sumShort(filter, from, models) {
	const sums = new Map();
	for (let at = 0; at < from.length; at += SHORT_ROW) {
		const number = from[at], day = from[at + 1], model = from[at + 2];
		if (!filter.hasDay(day) || models && !filter.hasModel(model))
			continue;
		let sum = sums.get(number);
		if (!sum)
			sums.set(number, sum = new ShortSum());
		sum.first = Math.min(sum.first, day);
		sum.last = Math.max(sum.last, day);
		sum.models.add(model);
		['calls', 'errors', 'unpriced', 'total', 'micro', 'pico'].forEach((key, field) => sum[key] += from[at + 3 + field]);
	}
	return sums;
}

/* What caching saved: {read: tokens of calls whose prices are known, micro, pico} by model. */
function sumSavings(filter) {
	const sums = new Map(), from = data.savings;
	for (let at = 0; at < from.length; at += 5) {
		if (!filter.hasDay(from[at]) || !filter.hasModel(from[at + 1]))
			continue;
		const sum = sums.get(from[at + 1]) || {read: 0, micro: 0, pico: 0};
		sum.read += from[at + 2];
		sum.micro += from[at + 3];
		sum.pico += from[at + 4];
		sums.set(from[at + 1], sum);
	}
	return sums;
}

/* ---- how long calls took ---- */

const OCTAVE = 64 >> data.latency_shift;
const BUCKETS = 3776 >> data.latency_shift;

const latencies = Float64Array.from(data.latency);

/* The least value of a bucket in us (FORMAT.md 7), where 2^shift of them are one. */
function bucketStart(bucket) {
	const fine = bucket << data.latency_shift;
	return fine < 128 ? fine : (fine % 64 + 64) * 2 ** (Math.floor(fine / 64) - 1);
}

function bucketMiddle(bucket) {
	const least = bucketStart(bucket);
	return least + Math.floor((bucketStart(bucket + 1) - 1 - least) / 2);
}

/* The counts of each bucket: of all, and by model. `whole`: are all entries within the dates as a whole? */
function sumLatency(filter, measure) {
	const all = new Float64Array(BUCKETS);
	const byModel = new Map();
	const from = latencies;
	let whole = true;
	for (let at = 0; at < from.length; at += LATENCY_HEAD + 2 * from[at + 4]) {
		const first = from[at + 1], last = from[at + 2], model = from[at + 3];
		if (from[at] !== measure || last < filter.first || first > filter.last || !filter.hasModel(model))
			continue;
		whole = whole && first >= filter.first && last <= filter.last;
		if (!byModel.has(model))
			byModel.set(model, new Float64Array(BUCKETS));
		const counts = byModel.get(model);
		let bucket = 0;
		for (let pair = at + LATENCY_HEAD, end = pair + 2 * from[at + 4]; pair < end; pair += 2) {
			bucket += from[pair];
			counts[bucket] += from[pair + 1];
			all[bucket] += from[pair + 1];
		}
	}
	return {all, byModel, whole};
}

function countAll(counts) {
	let all = 0;
	for (let bucket = 0; bucket < counts.length; bucket++)
		all += counts[bucket];
	return all;
}

/* The least values that so many percent of the calls do not exceed, in us; null without a call. `percents` rise. */
function quantiles(counts, percents) {
	const all = countAll(counts), found = percents.map(() => null);
	let seen = 0, next = 0;
	for (let bucket = 0; bucket < counts.length && next < percents.length; bucket++) {
		seen += counts[bucket];
		while (next < percents.length && seen > 0 && seen * 100 >= all * percents[next])
			found[next++] = bucketMiddle(bucket);
	}
	return found;
}
