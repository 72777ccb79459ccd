// What the tests of the page share: logs in directories of their own, the program run on them, and a browser that notes what goes wrong.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import {createRequire} from 'node:module';
import os from 'node:os';
import path from 'node:path';
import {after} from 'node:test';

const PROGRAM = process.env.USAGELOG_BIN;
const SKIPPED = 77;
export const DAY_MS = 86400000;

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'usagelog-page.'));
const environment = {...process.env, USAGELOG_DIR: '', TZ: 'UTC', LC_ALL: 'C.UTF-8', HOME: scratch};

export function place(name) {
	return path.join(scratch, name);
}

// Runs a subcommand; what it printed. `options`: status, input, log.
export function run(args, {status = 0, input = ''} = {}) {
	try {
		const out = execFileSync(PROGRAM, args, {env: environment, input, maxBuffer: 1 << 30, stdio: ['pipe', 'pipe', 'pipe']});
		assert.equal(0, status, `${args.join(' ')} succeeded`);
		return out.toString();
	} catch (error) {
		if (error.status !== status || status === 0)
			throw new Error(`${args.join(' ')}: status ${error.status}\n${error.stderr}`);
		return error.stderr.toString();
	}
}

const FIELDS = ['time', 'provider', 'model', 'operation', 'session_id', 'error_type', 'service_tier', 'input_tokens', 'cache_read_tokens',
	'cache_write_5m_tokens', 'cache_write_1h_tokens', 'output_tokens', 'reasoning_tokens', 'cost_usd', 'latency_ms', 'ttft_ms', 'metadata'];

function quote(value) {
	return /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

// Brings calls into a log. Each is an object of FIELDS, with `time` in seconds.
export function bringIn(log, calls) {
	const lines = calls.map(call => FIELDS.map(field => quote(String(call[field] ?? ''))).join(','));
	run(['import', '--log', log, '--format', 'csv', '--again', '-'], {input: FIELDS.join(',') + '\n' + lines.join('\n') + '\n'});
}

// Numbers from a seed, so that a test is the same each time.
export function makeRandom(seed) {
	return () => {
		seed = seed + 0x6d2b79f5 | 0;
		let mixed = Math.imul(seed ^ seed >>> 15, 1 | seed);
		mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed;
		return ((mixed ^ mixed >>> 14) >>> 0) / 4294967296;
	};
}

// An amount as the program writes it, in pico-USD.
export function parseCost(text) {
	const [, sign, whole, rest = ''] = /^(-?)(\d+)(?:\.(\d{1,12}))?$/.exec(text);
	const size = BigInt(whole) * 10n ** 12n + BigInt(rest.padEnd(12, '0'));
	return sign ? -size : size;
}

export function formatCost(pico) {
	const size = pico < 0n ? -pico : pico;
	const rest = (size % 10n ** 12n).toString().padStart(12, '0').replace(/0+$/, '');
	return (pico < 0n ? '-' : '') + size / 10n ** 12n + (rest && '.' + rest);
}

// ---- the browser ----

let browser;

export async function launch() {
	const require = createRequire(import.meta.url);
	let chromium;
	try {
		({chromium} = require(path.join(process.env.USAGELOG_MODULES, 'playwright-core')));
	} catch {
		console.log('playwright-core is not installed: tests/page/install.sh');
		process.exit(SKIPPED);
	}
	browser = await chromium.launch({executablePath: process.env.USAGELOG_CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-quic',
		'--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']});
	after(async () => {
		await browser.close();
		fs.rmSync(scratch, {recursive: true});
	});
}

// Opens a file, and sees to it that nothing is complained of, and nothing but that file is asked for, until `look` has ended. That gets the page, and
// a function that tells how many seconds of the processor it has used.
export async function open(file, look, options = {}) {
	const context = await browser.newContext({viewport: {width: 1280, height: 900}, ...options});
	const page = await context.newPage();
	const wrong = [];
	page.on('console', message => wrong.push(`${message.type()}: ${message.text()}`));
	page.on('pageerror', error => wrong.push(error.stack));
	page.on('dialog', dialog => wrong.push(`dialog: ${dialog.message()}`));
	page.on('request', request => request.url().startsWith(`file://${file}`) || wrong.push(`request: ${request.url()}`));
	const tools = await context.newCDPSession(page);
	await tools.send('Performance.enable', {timeDomain: 'threadTicks'});
	await page.goto(`file://${file}`);
	await look(page, async () => (await tools.send('Performance.getMetrics')).metrics.find(({name}) => name === 'TaskDuration').value);
	await context.close();
	assert.deepEqual(wrong, []);
}

// The exact value behind a figure.
export function valueOf(page, selector) {
	return page.locator(`${selector} data`).first().getAttribute('value');
}

// The rows of a table as objects: exact values of figures, text of the rest, by the columns' titles; its total's too.
export function readTable(page, selector, part = 'tbody') {
	return page.locator(selector).evaluate((box, name) => {
		const titles = [...box.querySelectorAll('thead th:not([hidden]) button')].map(button => button.textContent);
		return [...box.querySelectorAll(name + ' tr')].map(row => Object.fromEntries([...row.children].map((cell, at) => {
			const figure = cell.querySelector('data');
			return [titles[at], figure ? figure.value : cell.textContent];
		})));
	}, part);
}
