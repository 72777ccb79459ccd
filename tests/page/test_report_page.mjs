// The page of `usagelog report --html` in a real browser: its figures are those of --json, filters and sorting do what they say, keys reach all of
// it, hostile names stay names, and years of calls open in a moment.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import {test} from 'node:test';

import {DAY_MS, bringIn, formatCost, launch, makeRandom, open, parseCost, place, readTable, run, valueOf} from './support.mjs';

const MODELS = [['anthropic', 'claude-opus-4'], ['anthropic', 'claude-sonnet-4'], ['openai', 'gpt-4o'], ['openai', 'gpt-4o-mini'], ['openai', 'o3'],
	['gemini', 'gemini-2.5-pro'], ['mistral', 'mistral-large'], ['groq', 'llama-3'], ['cohere', 'command-r'], ['azure', 'gpt-4o']];
const OPERATIONS = ['chat', 'chat', 'responses', 'embeddings', ''];
const ERRORS = ['429', 'timeout', 'overloaded_error'];
const now = Date.now();

function pick(random, list) {
	return list[Math.floor(random() * list.length)];
}

function makeCall(random, time) {
	const [provider, model] = pick(random, MODELS);
	const error = random() < 0.06 ? pick(random, ERRORS) : '';
	return {
		time: time.toFixed(3), provider, model, operation: pick(random, OPERATIONS), error_type: error, session_id: `session-${Math.floor(random() * 40)}`,
		input_tokens: Math.floor(random() * 5000), cache_read_tokens: Math.floor(random() * 20000), cache_write_5m_tokens: Math.floor(random() * 900),
		cache_write_1h_tokens: Math.floor(random() * 90), output_tokens: error ? 0 : Math.floor(random() * 2000), reasoning_tokens: 0,
		cost_usd: random() < 0.1 ? '' : (random() ** 4 * 3).toFixed(12), latency_ms: (50 * 400 ** random()).toFixed(1),
		service_tier: random() < 0.3 ? 'batch' : '', metadata: JSON.stringify({user: pick(random, ['ada', 'grace', 'edsger']), id: Math.floor(random() * 1e9)}),
		ttft_ms: random() < 0.5 ? '' : (20 + 500 * random()).toFixed(1),
	};
}

// 75 days of calls up to now, of which the last ones are not folded yet.
function makeLog(log) {
	const random = makeRandom(7);
	const calls = Array.from({length: 1500}, () => makeCall(random, (now - 75 * DAY_MS * random()) / 1000));
	bringIn(log, calls.slice(0, 1400));
	run(['config', '--log', log, 'group_by', 'user']);
	run(['compact', '--log', log, '--quiet']);
	bringIn(log, calls.slice(1400));
}

const log = place('log'), file = place('page.html');
await launch();
makeLog(log);
run(['report', '--log', log, '--html', file]);
const calls = run(['dump', '--log', log, '--format', 'jsonl']).split('\n').filter(Boolean).map(line => (
	{...JSON.parse(line), cost: parseCost(/"cost_usd": ?([-\d.]*)/.exec(line)[1] || '0')}));

// What the page must come to, out of the calls themselves.
function sumCalls(wanted) {
	const sum = {calls: 0, errors: 0, tokens: 0, cost: 0n};
	for (const call of calls.filter(wanted)) {
		sum.calls++;
		sum.errors += call.error_type ? 1 : 0;
		sum.tokens += call.input_tokens + call.cache_read_tokens + call.cache_write_5m_tokens + call.cache_write_1h_tokens + call.output_tokens;
		sum.cost += call.cost;
	}
	return sum;
}

async function checkAnswer(page, sum) {
	assert.equal(await valueOf(page, '#amount'), formatCost(sum.cost));
	assert.equal(await valueOf(page, '#tile-calls'), String(sum.calls));
	assert.equal(await valueOf(page, '#tile-tokens'), String(sum.tokens));
}

function report(...args) {
	return JSON.parse(run(['report', '--log', log, '--json', ...args]));
}

function byName(rows) {
	return new Map(rows.map(row => [Object.values(row)[0] || '(none)', row]));
}

// A table of the page has the lines of a report.
async function checkLines(page, selector, {rows}) {
	const shown = byName(await readTable(page, selector)), reported = byName(rows);
	assert.deepEqual([...shown.keys()].sort(), [...reported.keys()].sort());
	for (const [name, line] of reported) {
		const row = shown.get(name);
		assert.deepEqual([row['Cost, USD'], row.Calls, row.Errors, row['All tokens'] ?? row.Tokens],
			[line.cost_exact, String(line.calls), String(line.errors), line.tokens_exact], name);
	}
}

test('the page opens with the figures that --json has', () => open(file, async page => {
	const summary = JSON.parse(run(['summary', '--log', log, '--json']));
	assert.equal(await valueOf(page, '#amount'), summary.period.cost_exact);
	assert.equal(await valueOf(page, '#tile-calls'), String(summary.period.calls));
	assert.equal(await valueOf(page, '#tile-tokens'), summary.period.tokens_exact);
	assert.equal(await page.locator('#today').getAttribute('value'), summary.today.cost_exact);
	assert.equal(await page.locator('#month').getAttribute('value'), summary.month_so_far.cost_exact);
	assert.equal(await page.locator('#projected').getAttribute('value'), summary.projected_month.cost_exact);
	assert.match(await page.locator('#sentence').textContent(), new RegExp(`${summary.period.unpriced} calls without a price`));
	for (const view of ['models', 'providers', 'operations'])
		await checkLines(page, `#${view}-table`, report(view));
	const errors = await readTable(page, '#errors-table');
	assert.deepEqual(errors.map(row => [row.Error, row.Calls]).sort(), report('errors').rows.map(row => [row.error_type, String(row.calls)]).sort());
	const kinds = summary.period.tokens_by_kind, [total] = await readTable(page, '#models-table', 'tfoot');
	assert.deepEqual([total.Input, total['Cache read'], total['Cache write'], total.Output].map(Number), [kinds.input_tokens, kinds.cache_read_tokens,
		kinds.cache_write_5m_tokens + kinds.cache_write_1h_tokens, kinds.output_tokens]);
}));

test('all days: days, latencies, sessions and calls', () => open(file, async page => {
	await page.getByRole('button', {name: 'All', exact: true}).click();
	const daily = report('daily', '--days', 'all'), models = byName(report('models', '--days', 'all').rows);
	assert.equal(await valueOf(page, '#amount'), daily.totals.cost_exact);
	await page.locator('#days-table').evaluate(box => box.parentNode.open = true);
	await page.locator('#days-table').getByRole('button', {name: 'Show all'}).click();
	const days = await readTable(page, '#days-table');
	const wanted = daily.rows.sort((a, b) => a.day < b.day ? 1 : -1).map(row => [row.cost_exact, String(row.calls), row.tokens_exact]);
	assert.deepEqual(days.map(row => [row['Cost, USD'], row.Calls, row['All tokens']]), wanted);
	for (const [choice, key] of [['Latency', 'latency_ms'], ['Time to first token', 'ttft_ms']]) {
		await page.locator('#timings').getByRole('button', {name: choice}).click();
		const rows = await readTable(page, '#latency-table');
		assert.equal(rows.length, models.size);
		for (const row of [...rows, {...(await readTable(page, '#latency-table', 'tfoot'))[0], Model: ''}]) {
			const one = (row.Model ? models.get(row.Model) : daily.totals)[key];
			assert.deepEqual([row['Calls timed'], row.p50, row.p90, row.p95, row.p99].map(Number), [one.calls, one.p50, one.p90, one.p95, one.p99], row.Model);
		}
	}
	for (const [title, key] of [['service_tier', call => call.service_tier], ['user', call => call.metadata.user]]) {
		const section = `#attributes section:has(h2:text-is("${title}"))`, values = await readTable(page, section);
		for (const row of values) {
			const sum = sumCalls(call => (key(call) || '(none)') === row.Value);
			assert.deepEqual([row['Cost, USD'], row.Calls, row.Errors, row.Tokens], [formatCost(sum.cost), ...[sum.calls, sum.errors, sum.tokens].map(String)]);
		}
		assert.equal(values.length, new Set(calls.map(key)).size);
	}
	await page.locator('#sessions-table').getByRole('button', {name: 'Show all 40'}).click();
	await checkLines(page, '#sessions-table', report('sessions', '--days', 'all'));
	const dearest = (await readTable(page, '#sessions-table')).map(row => Number(row['Cost, USD']));
	assert.deepEqual(dearest, [...dearest].sort((a, b) => b - a));
	const [last] = await readTable(page, '#calls-table'), newest = calls.reduce((a, b) => a.time > b.time ? a : b);
	assert.equal(last.Time, newest.time.slice(0, 19).replace('T', ' '));
	assert.equal(last.Model, newest.model);
	await page.locator('#calls-table').getByRole('button', {name: 'Show all 1,000'}).click();
	assert.equal((await readTable(page, '#calls-table')).length, 1000);
}));

test('filters by date and model', () => open(file, async page => {
	const from = new Date(now - 40 * DAY_MS).toISOString().slice(0, 10), to = new Date(now - 12 * DAY_MS).toISOString().slice(0, 10);
	const inTime = call => call.time.slice(0, 10) >= from && call.time.slice(0, 10) <= to;
	await page.locator('#from').fill(from);
	await page.locator('#to').fill(to);
	await checkAnswer(page, sumCalls(inTime));
	await page.locator('#models-chosen').click();
	await page.getByLabel('Find').fill('GPT-4O');
	assert.equal(await page.locator('#models-list label:visible').count(), 2);
	await page.getByLabel('gpt-4o', {exact: true}).check();
	const one = sumCalls(call => inTime(call) && call.model === 'gpt-4o');
	await checkAnswer(page, one);
	assert.deepEqual((await readTable(page, '#models-table')).map(row => row.Model), ['gpt-4o']);
	assert.deepEqual((await readTable(page, '#providers-table')).map(row => row.Provider).sort(), ['azure', 'openai']);
	assert.ok((await readTable(page, '#calls-table')).every(row => row.Model === 'gpt-4o'));
	assert.match(await page.locator('#announcement').textContent(), new RegExp(`gpt-4o: .* ${one.calls} calls?`));
	await page.getByLabel('gpt-4o-mini', {exact: true}).check();
	await checkAnswer(page, sumCalls(call => inTime(call) && ['gpt-4o', 'gpt-4o-mini'].includes(call.model)));
	// The address holds what is chosen.
	const address = await page.evaluate(() => location.hash);
	await page.goto('about:blank');
	await page.goto(`file://${file}${address}`);
	await checkAnswer(page, sumCalls(call => inTime(call) && ['gpt-4o', 'gpt-4o-mini'].includes(call.model)));
	await page.locator('#models-chosen').click();
	await page.locator('#models-all').click();
	await page.getByRole('button', {name: '7 days'}).click();
	const week = new Date(now - 6 * DAY_MS).toISOString().slice(0, 10);
	await checkAnswer(page, sumCalls(call => call.time.slice(0, 10) >= week));
}));

test('filters of the command line', async () => {
	const target = place('filtered.html'), since = new Date(now - 50 * DAY_MS).toISOString().slice(0, 10);
	for (const [options, told] of [[['--since', since, '--model', 'gpt-4o*', '--provider', 'openai'], 'Only calls with model gpt-4o*, provider openai.'],
		[['--days', 'all', '--where', 'user=ada', '--operation', 'chat'], 'Only calls with operation chat, user ada.'],
		[['--days', '20', '--operation', 'embeddings'], 'Only calls with operation embeddings.']]) {
		run(['report', '--log', log, '--html', target, ...options]);
		await open(target, async page => {
			const models = report('models', ...options);
			assert.equal(await valueOf(page, '#amount'), models.totals.cost_exact);
			await checkLines(page, '#models-table', models);
			const [total] = await readTable(page, '#latency-table', 'tfoot'), {calls: timed, p95} = models.totals.latency_ms;
			assert.deepEqual(total && [Number(total['Calls timed']), Number(total.p95)], options.includes('--where') ? undefined : [timed, p95]);
			assert.equal(await page.locator('.note').textContent(), told);
			assert.equal(await page.locator('#presets button').count(), 1);
		});
	}
	for (const wrong of [['models'], ['--by', 'day'], ['--json'], ['--top', '3'], ['--where', 'id=1']])
		assert.match(run(['report', '--log', log, '--html', place('not.html'), ...wrong], {status: 16}), /--html/);
	assert.ok(!fs.existsSync(place('not.html')));
});

test('what the cache saved, and calls at the price of the log', async () => {
	const priced = place('priced'), target = place('priced.html'), map = place('prices.json');
	fs.writeFileSync(map, JSON.stringify({
		'claude-x': {litellm_provider: 'anthropic', input_cost_per_token: 3e-6, output_cost_per_token: 15e-6, cache_read_input_token_cost: 3e-7,
			cache_creation_input_token_cost: 3.75e-6},
		'gpt-x': {litellm_provider: 'openai', input_cost_per_token: 2e-6, output_cost_per_token: 8e-6, cache_read_input_token_cost: 5e-7}}));
	const common = {input_tokens: 100, output_tokens: 10};
	bringIn(priced, [
		{...common, time: now / 1000 - 10, provider: 'anthropic', model: 'claude-x', cache_read_tokens: 100000, cache_write_5m_tokens: 1000},
		{...common, time: now / 1000 - 20, provider: 'openai', model: 'gpt-x', cache_read_tokens: 1000, cost_usd: '0.5'},
		{...common, time: now / 1000 - 30, provider: 'openai', model: 'nobody-knows', cache_read_tokens: 1000}]);
	run(['prices', '--log', priced, 'import', map]);
	run(['compact', '--log', priced, '--quiet']);
	run(['report', '--log', priced, '--html', target]);
	await open(target, async page => {
		// 100,000 x (3 - 0.3) - 1,000 x 0.75 and 1,000 x (2 - 0.5) millionths.
		const saved = Object.fromEntries((await readTable(page, '#cache-table')).map(row => [row.Model, row['Saved, USD']]));
		assert.deepEqual(saved, {'claude-x': '0.26925', 'gpt-x': '0.0015', 'nobody-knows': '\u2013'});
		assert.equal(await page.locator('#saved').getAttribute('value'), '0.27075');
		assert.match(await page.locator('#cache-sentence').textContent(), /for 99.0 % of them/);
		// 100 x 3 + 100,000 x 0.3 + 1,000 x 3.75 + 10 x 15 millionths.
		const [first, second, third] = await readTable(page, '#calls-table');
		assert.deepEqual([first['Cost, USD'], second['Cost, USD'], third['Cost, USD']], ['0.0342', '0.5', '0']);
		assert.equal(await valueOf(page, '#amount'), '0.5342');
	});
});

test('tables sort', () => open(file, async page => {
	const table = page.locator('#models-table'), head = title => table.locator('th', {hasText: title});
	const column = async title => (await readTable(page, '#models-table')).map(row => row[title]);
	assert.equal(await head('Cost, USD').getAttribute('aria-sort'), 'descending');
	for (const [title, order] of [['Calls', (a, b) => b - a], ['Cost, USD', (a, b) => b - a], ['Model', (a, b) => a < b ? -1 : 1]]) {
		await head(title).getByRole('button').click();
		const there = await column(title);
		assert.deepEqual(there, [...there].sort(order), title);
		await head(title).getByRole('button').press('Enter');
		assert.deepEqual(await column(title), [...there].sort((a, b) => order(b, a)), `${title}, the other way round`);
	}
	assert.equal(await head('Model').getAttribute('aria-sort'), 'descending');
	assert.equal(await table.locator('[aria-sort]').count(), 1);
}));

test('the chart by keys', () => open(file, async page => {
	const chart = page.locator('#days-chart');
	await chart.focus();
	await page.keyboard.press('End');
	await page.keyboard.press('ArrowLeft');
	const day = new Date(now - DAY_MS), sum = sumCalls(call => call.time.slice(0, 10) === day.toISOString().slice(0, 10));
	const shown = '$' + (Number((sum.cost + 5n * 10n ** 7n) / 10n ** 8n) / 1e4).toFixed(4);
	assert.ok((await chart.getByRole('status').textContent()).includes(shown), shown);
	await page.keyboard.press('Enter');
	await checkAnswer(page, sum);
	for (const measure of ['Tokens', 'Calls', 'Errors', 'Cost'])
		await page.locator('#measures').getByRole('button', {name: measure}).click();
	await page.getByRole('button', {name: 'All', exact: true}).click();
	for (const [step, columns] of [['month', 3], ['week', 11]]) {
		await page.getByLabel('per', {exact: true}).selectOption(step);
		await chart.focus();
		let steps = 0, before = '';
		for (await page.keyboard.press('Home'); before !== await chart.getByRole('status').textContent(); steps++) {
			before = await chart.getByRole('status').textContent();
			await page.keyboard.press('ArrowRight');
		}
		assert.ok(Math.abs(steps - columns) <= 1, `${steps} columns by ${step}`);
	}
	await page.getByLabel('by', {exact: true}).selectOption('provider');
	assert.match(await page.locator('#legend').textContent(), /anthropic/);
}));

// What a reader of screens is told, and what keys reach.
test('names and roles', () => open(file, async page => {
	const told = await page.locator('body').ariaSnapshot();
	for (const part of ['heading "LLM usage and cost" [level=1]', 'button "30 days" [pressed]', 'textbox "From"', 'heading "Models" [level=2]',
		'table "Usage and cost by model"', 'columnheader "Cost, USD"', 'rowheader "gpt-4o"', 'group "Over time: left and right arrow keys'])
		assert.ok(told.includes(part), `${part}\n${told}`);
	const unnamed = await page.evaluate(() => [...document.querySelectorAll('button, input, select, summary')]
		.filter(control => !control.textContent.trim() && !control.labels?.length && !control.getAttribute('aria-label')).map(control => control.outerHTML));
	assert.deepEqual(unnamed, []);
	const reached = new Set();
	for (let presses = 0; presses < 60; presses++) {
		await page.keyboard.press('Tab');
		reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.closest('[id]')?.id));
	}
	for (const id of ['from', 'to', 'models-chosen', 'presets', 'measures', 'stack', 'step', 'days-chart', 'models-table', 'providers-table'])
		assert.ok(reached.has(id), `${id} is not reached by Tab: ${[...reached]}`);
}));

// WCAG 2: 4.5 to 1 for text.
function contrast(page) {
	return page.evaluate(() => {
		const part = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
		const light = colour => colour.match(/[\d.]+/g).slice(0, 3).map(Number).reduce((sum, value, at) => sum + [0.2126, 0.7152, 0.0722][at] * part(value / 255), 0);
		const ground = element => {
			const colour = getComputedStyle(element).backgroundColor;
			return colour === 'rgba(0, 0, 0, 0)' && element.parentElement ? ground(element.parentElement) : colour;
		};
		const faint = [];
		for (const element of document.querySelectorAll('h1, h2, p, dt, dd, th button, td, label, summary, li span:not(.swatch), footer')) {
			const [a, b] = [light(getComputedStyle(element).color), light(ground(element))].sort((x, y) => y - x);
			if ((a + 0.05) / (b + 0.05) < 4.5)
				faint.push(element.outerHTML);
		}
		return faint;
	});
}

for (const colorScheme of ['light', 'dark'])
	test(`${colorScheme}: text stands out, and fits a narrow window`, () => open(file, async page => {
		assert.deepEqual(await contrast(page), []);
		const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
		assert.equal(ground[0] > 128, colorScheme === 'light');
		await page.setViewportSize({width: 360, height: 700});
		assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 360));
	}, {colorScheme}));

test('on paper: no filters, light, all that is shown', () => open(file, async page => {
	await page.emulateMedia({media: 'print', colorScheme: 'dark'});
	assert.equal(await page.locator('#filters').isVisible(), false);
	assert.equal(await page.locator('#amount').isVisible(), true);
	assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(255, 255, 255)');
	const paper = await page.pdf({format: 'A4'});
	const sheets = paper.toString('latin1').match(/\/Type\s*\/Page\b/g).length;
	assert.ok(sheets >= 2 && sheets <= 8, `${sheets} sheets`);
}));

const HOSTILE = ['</script><script>window.hacked = 1</script>', '<img src=x onerror="window.hacked = 1">', '"><svg onload=window.hacked=1>', '<!--<script>',
	']]>', '&lt;b&gt;', 'javascript:window.hacked=1', '__proto__', 'constructor', '\u202eevil\u2066', "'); window.hacked = 1; //", '{{data}}', '${window.hacked = 1}'];

test('hostile names are names', async () => {
	const hostile = place('hostile'), target = place('hostile.html');
	bringIn(hostile, HOSTILE.map((name, at) => ({time: now / 1000 - at, provider: name, model: name, operation: name, error_type: name, session_id: name,
		service_tier: name, input_tokens: 1, output_tokens: 1, cost_usd: '0.1', latency_ms: 1, metadata: JSON.stringify({user: name})})));
	run(['report', '--log', hostile, '--html', target]);
	const text = fs.readFileSync(target, 'utf8');
	assert.equal(text.match(/<\/script/g).length, 2, 'the data ends where they end');
	await open(target, async page => {
		for (const [selector, title] of [['#models-table', 'Model'], ['#providers-table', 'Provider'], ['#operations-table', 'Operation'],
			['#errors-table', 'Error'], ['#sessions-table', 'Session']]) {
			const names = (await readTable(page, selector)).map(row => row[title]);
			assert.deepEqual(names.sort(), [...HOSTILE].sort(), selector);
		}
		await page.locator('#models-chosen').click();
		assert.equal(await page.locator('#models-list label').count(), HOSTILE.length);
		await page.locator('#models-list input').first().check();
		await page.locator('#days-chart').focus();
		await page.keyboard.press('End');
		assert.equal(await page.evaluate(() => window.hacked), undefined);
		assert.equal(await page.locator('img, svg[onload], b').count(), 0);
	});
});

test('no other script runs in the page, and nothing is fetched', async () => {
	const changed = place('changed.html');
	fs.writeFileSync(changed, fs.readFileSync(file, 'utf8').replace('<main>', '<main><script>window.hacked = 1</script>'));
	await assert.rejects(open(changed, async page => {
		assert.equal(await page.evaluate(() => window.hacked), undefined);
		assert.match(await page.locator('#amount').textContent(), /^\$/);
	}), /Content Security Policy/);
	await assert.rejects(open(file, page => page.evaluate(() => fetch('http://127.0.0.1:1/').catch(() => 0))), /Content Security Policy/);
});

test('an empty log, and a log of long ago', async () => {
	for (const [name, time, cost] of [['empty', 0, '0'], ['old', Date.UTC(2023, 10, 16) / 1000, '0.1']]) {
		const old = place(name), target = place(`${name}.html`);
		bringIn(old, [{time: time || now / 1000, provider: 'p', model: 'm', input_tokens: 1, output_tokens: 1, cost_usd: cost}]);
		run(['report', '--log', old, '--html', target]);
		await open(target, async page => assert.equal(await valueOf(page, '#amount'), cost));
	}
});

test('the file is whole, and its owner\'s alone', () => {
	assert.equal(fs.statSync(file).mode & 0o777, 0o600);
	const target = place('kept.html');
	fs.writeFileSync(target, 'before');
	fs.chmodSync(target, 0o644);
	run(['report', '--log', log, '--html', target]);
	assert.equal(fs.statSync(target).mode & 0o777, 0o600);
	const bare = text => text.replace(/"made":"[^"]*"/, '');
	assert.equal(bare(run(['report', '--log', log, '--html', '-'])), bare(fs.readFileSync(target, 'utf8')));
	fs.symlinkSync(target, place('link.html'));
	fs.writeFileSync(target, 'before');
	run(['report', '--log', log, '--html', place('link.html')]);
	assert.ok(fs.lstatSync(place('link.html')).isSymbolicLink());
	assert.notEqual(fs.readFileSync(target, 'utf8'), 'before');
	run(['report', '--log', log, '--html', '/dev/null']);
	assert.ok(fs.statSync('/dev/null').isCharacterDevice());
	for (const [wrong, why] of [['no/such/page.html', /No such file/], ['log/checkpoint', /file of a log itself/], ['.', /directory/]])
		assert.match(run(['report', '--log', log, '--html', place(wrong)], {status: 8}), why);
	assert.match(run(['report', '--log', log, '--html', ''], {status: 16}), /--html is empty/);
	assert.ok(!fs.readdirSync(place('')).some(name => name.endsWith('.tmp')));
});

// 3 years, 50 models, each some calls a day.
test('years of calls open', async () => {
	const random = makeRandom(3), large = place('large'), target = place('large.html');
	const many = [];
	for (let day = 0; day < 1095; day++)
		for (let model = 0; model < 50; model++)
			for (let count = 0; count < 2; count++)
				many.push({...makeCall(random, now / 1000 - day * 86400 - 80000 * random() * (day ? 1 : 0)), provider: `provider-${model % 7}`, model: `model-${model}`});
	bringIn(large, many);
	run(['report', '--log', large, '--html', target]);
	// What there is to read, which repeats, is what is asked; times, the processor's and a clock's, are for whoever reads this.
	assert.ok(fs.statSync(target).size < 12500000, `${fs.statSync(target).size} bytes`);
	const times = [];
	for (let run = 0; run < 2; run++)
		await open(target, async (page, used) => times.push({used: await used(),
			clock: await page.evaluate(() => performance.getEntriesByType('navigation')[0].loadEventEnd / 1000)}));
	console.log(`${fs.statSync(target).size} bytes are open after`, times, 'seconds');
	await open(target, async (page, used) => {
		const before = await used();
		await page.getByRole('button', {name: 'All', exact: true}).click();
		assert.equal(await valueOf(page, '#tile-calls'), String(many.length));
		console.log(`all of it is shown after ${await used() - before} s more`);
	});
});
