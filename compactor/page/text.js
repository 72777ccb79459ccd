'use strict';
/* Numbers, money, days and times as people read them, and the elements that hold them. */

const MILLION = 1000000n;

function formatCount(count) {
	return Math.round(count).toLocaleString('en-US');
}

/* Three figures and a unit: 31.2 M. */
function formatShort(count) {
	const units = ['', ' K', ' M', ' G', ' T', ' P'];
	let unit = 0;
	let rest = Math.abs(count);
	while (rest >= 999.5 && unit < units.length - 1) {
		rest /= 1000;
		unit++;
	}
	const decimals = unit === 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2;
	return (count < 0 ? '\u2212' : '') + rest.toFixed(decimals) + units[unit];
}

/* Pico-USD, exactly: 0, 0.0002, -12.5. */
function exactCost(pico) {
	const size = pico < 0n ? -pico : pico;
	const rest = (size % (MILLION * MILLION)).toString().padStart(12, '0').replace(/0+$/, '');
	return (pico < 0n ? '-' : '') + (size / (MILLION * MILLION)).toString() + (rest ? '.' + rest : '');
}

/* Pico-USD, rounded half up in size. */
function formatCost(pico, decimals) {
	const step = 10n ** BigInt(12 - decimals);
	const size = ((pico < 0n ? -pico : pico) + step / 2n) / step;
	const unit = 10n ** BigInt(decimals);
	const whole = (size / unit).toLocaleString('en-US');
	const rest = decimals ? '.' + (size % unit).toString().padStart(decimals, '0') : '';
	return (pico < 0n && size ? '\u2212' : '') + '$' + whole + rest;
}

/* For a heading: cents, unless that leaves nothing. */
function formatAmount(pico) {
	const size = pico < 0n ? -pico : pico;
	return formatCost(pico, size && size < MILLION * MILLION ? 4 : 2);
}

/* For an axis whose lines are so far apart: as few decimals as tell them apart. */
function formatUsd(usd, step) {
	return '$' + (step >= 1000 ? formatShort(usd) : usd.toFixed(Math.max(0, Math.ceil(-Math.log10(step) - 1e-9))));
}

function formatShare(part, whole) {
	if (!whole)
		return '\u2013';
	const share = 100 * part / whole;
	return (share !== 0 && Math.abs(share) < 0.05 ? '< 0.1' : share.toFixed(1)) + ' %';
}

/* Microseconds. */
function formatDuration(us) {
	if (us < 1000)
		return Math.round(us) + ' \u00b5s';
	if (us < 999500)
		return Math.round(us / 1000) + ' ms';
	if (us < 99950000)
		return (us / 1e6).toFixed(us < 9995000 ? 2 : 1) + ' s';
	const seconds = Math.round(us / 1e6);
	return Math.floor(seconds / 60) + ' min' + (seconds % 60 ? ` ${seconds % 60} s` : '');
}

function plural(count, word) {
	return formatCount(count) + ' ' + word + (count === 1 ? '' : 's');
}

/* ---- days: numbers since 1970-01-01 ---- */

const DAY_MS = 86400000;

function parseDay(text) {
	return Date.parse(text + 'T00:00:00Z') / DAY_MS;
}

function formatDay(day) {
	return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

function showDay(day, options) {
	return new Date(day * DAY_MS).toLocaleDateString('en-GB', {timeZone: 'UTC', ...options});
}

const DAY_LONG = {day: 'numeric', month: 'long', year: 'numeric'};
const DAY_WEEK = {weekday: 'short', day: 'numeric', month: 'short', year: 'numeric'};

function dateOf(day) {
	const date = new Date(day * DAY_MS);
	return {year: date.getUTCFullYear(), month: date.getUTCMonth(), day: date.getUTCDate(), weekday: (date.getUTCDay() + 6) % 7};
}

function dayOf(year, month, day) {
	const date = new Date(0);
	date.setUTCFullYear(year, month, day);
	return date.getTime() / DAY_MS;
}

/* ---- elements ---- */

/* Children that are strings become text, and nothing else. */
function element(name, attributes, ...children) {
	const made = document.createElement(name);
	for (const [key, value] of Object.entries(attributes))
		made.setAttribute(key, value);
	made.append(...children);
	return made;
}

/* A figure, with its exact value for whoever copies it or reads it by program. */
function figure(value, shown) {
	return element('data', {value, title: shown === String(value) ? '' : value}, shown);
}

function byId(id) {
	return document.getElementById(id);
}

/* Buttons of which one is pressed. `choices`: [value, text]. */
function fillChoice(group, choices, chosen, choose) {
	group.replaceChildren(...choices.map(([value, text]) => {
		const button = element('button', {type: 'button', 'aria-pressed': String(value === chosen), 'data-value': value}, text);
		button.addEventListener('click', () => choose(value));
		return button;
	}));
}

function pressChoice(group, chosen) {
	for (const button of group.children)
		button.setAttribute('aria-pressed', String(button.dataset.value === chosen));
}
