/* Stacked bars as an SVG: one path for each series, so that a long time is as fast as a short one, and printed as sharp as text. */

const SVG = 'http://www.w3.org/2000/svg';
const CHART_HEIGHT = 260;
const MARGIN = {top: 10, right: 4, bottom: 24, left: 60};

function svg(name, attributes, ...children) {
	const made = document.createElementNS(SVG, name);
	for (const [key, value] of Object.entries(attributes))
		made.setAttribute(key, value);
	made.append(...children);
	return made;
}

/* Lines at 1, 2 or 5 times a power of ten, some five, the last one above it all. */
function ticks(most) {
	const rough = most / 4;
	const power = 10 ** Math.floor(Math.log10(rough));
	const step = [1, 2, 5, 10].map(times => times * power).find(candidate => candidate >= rough * 0.999);
	const count = Math.max(1, Math.ceil(most / step - 0.001));
	return Array.from({length: count + 1}, (_, line) => line * step);
}

/*
 * A chart in a box. `columns`: {label, title}, which `scale` makes stretches of a scale; `series`: {name, colour, values}, the lowest first;
 * `format` shows a value on an axis whose lines are so far apart, `details` a column's values. `open` is called when a column is chosen; null:
 * there is nothing to open.
 */
class Chart {
	constructor(box, label) {
		this.box = box;
		this.label = label;
		this.at = -1;
		this.tip = element('div', {class: 'tip', hidden: ''});
		this.said = element('div', {class: 'announcement', role: 'status'});
		box.setAttribute('tabindex', '0');
		box.setAttribute('role', 'group');
		box.addEventListener('pointermove', event => this.point(event));
		box.addEventListener('pointerleave', () => this.leave());
		box.addEventListener('blur', () => this.leave());
		box.addEventListener('keydown', event => this.press(event));
		box.addEventListener('click', () => this.at >= 0 && this.shown.open && this.shown.open(this.at));
		new ResizeObserver(() => this.shown && this.width !== this.widthNow() && this.draw()).observe(box);
	}

	show(shown) {
		this.shown = shown;
		this.leave();
		this.draw();
	}

	widthNow() {
		return Math.max(280, this.box.clientWidth);
	}

	draw() {
		const {columns, series} = this.shown;
		const width = this.widthNow();
		this.inner = {width: width - MARGIN.left - MARGIN.right, height: CHART_HEIGHT - MARGIN.top - MARGIN.bottom};
		this.width = width;
		const totals = columns.map((_, at) => series.reduce((sum, one) => sum + Math.max(0, one.values[at]), 0));
		const most = Math.max(0, ...totals);
		this.lines = most > 0 ? ticks(most) : [0, 1];
		this.top = this.lines[this.lines.length - 1];
		this.cursor = svg('rect', {class: 'cursor', y: MARGIN.top, height: this.inner.height, width: 0});
		const picture = svg('svg', {viewBox: `0 0 ${width} ${CHART_HEIGHT}`, role: 'img', 'aria-label': this.shown.summary},
			this.drawLines(), this.cursor, ...this.drawSeries(), this.drawLabels());
		this.box.setAttribute('aria-label', this.label + ': left and right arrow keys go through the columns' +
			(this.shown.open ? ', Enter shows one alone' : ''));
		this.box.replaceChildren(picture, this.tip, this.said);
		this.box.classList.toggle('opens', Boolean(this.shown.open));
		if (!most)
			this.box.append(element('p', {class: 'empty'}, 'Nothing to show.'));
	}

	x(column) {
		return MARGIN.left + this.inner.width * column / this.shown.columns.length;
	}

	y(value) {
		return MARGIN.top + this.inner.height * (1 - value / this.top);
	}

	drawLines() {
		const group = svg('g', {class: 'lines'});
		for (const line of this.lines) {
			const y = Math.round(this.y(line)) + 0.5;
			group.append(svg('line', {x1: MARGIN.left, x2: this.width - MARGIN.right, y1: y, y2: y}),
				svg('text', {x: MARGIN.left - 8, y: y + 4, 'text-anchor': 'end'}, this.shown.format(line, this.lines[1])));
		}
		return group;
	}

	drawSeries() {
		const {columns, series} = this.shown;
		const floor = columns.map(() => 0);
		const gap = this.inner.width / columns.length > 6 ? 0.15 : 0.05;
		return series.map(one => {
			let path = '';
			one.values.forEach((value, at) => {
				if (!(value > 0))
					return;
				const left = this.x(at + gap), right = this.x(at + 1 - gap);
				path += `M${left.toFixed(2)} ${this.y(floor[at]).toFixed(2)}H${right.toFixed(2)}`;
				floor[at] += value;
				path += `V${this.y(floor[at]).toFixed(2)}H${left.toFixed(2)}Z`;
			});
			return svg('path', {class: `colour${one.colour}`, d: path});
		});
	}

	/* As many as have room; a column may have none. Those of a scale stand where their columns begin. */
	drawLabels() {
		const {columns, scale} = this.shown;
		const group = svg('g', {class: 'labels'});
		const named = columns.map((column, at) => ({label: column.label, at})).filter(({label}) => label);
		const room = 10 + 7 * Math.max(0, ...named.map(({label}) => label.length));
		const every = Math.max(1, Math.ceil(room * named.length / this.inner.width));
		let free = this.width + room;
		for (let next = named.length - 1; next >= 0; next -= every) {
			const {label, at} = named[next];
			const middle = Math.min(this.x(scale ? at : at + 0.5), this.width - room / 2 + 6);
			if (middle + room / 2 > free || middle < room / 2)
				continue;
			free = middle - room / 2;
			group.append(svg('text', {x: middle, y: CHART_HEIGHT - 6, 'text-anchor': 'middle'}, label));
		}
		return group;
	}

	point(event) {
		const box = this.box.getBoundingClientRect();
		const x = (event.clientX - box.left) / box.width * this.width;
		const at = Math.floor((x - MARGIN.left) / this.inner.width * this.shown.columns.length);
		if (at < 0 || at >= this.shown.columns.length)
			this.leave();
		else
			this.go(at);
	}

	press(event) {
		const last = this.shown.columns.length - 1;
		const here = this.at < 0 ? last + 1 : this.at;
		const to = {ArrowLeft: Math.max(0, here - 1), ArrowRight: Math.min(last, this.at + 1), Home: 0, End: last}[event.key];
		if (to !== undefined) {
			event.preventDefault();
			this.go(to);
			this.said.textContent = this.tip.textContent;
		} else if (event.key === 'Enter' && this.at >= 0 && this.shown.open) {
			this.shown.open(this.at);
		} else if (event.key === 'Escape') {
			this.leave();
		}
	}

	go(at) {
		if (at === this.at)
			return;
		this.at = at;
		this.cursor.setAttribute('x', this.x(at));
		this.cursor.setAttribute('width', this.inner.width / this.shown.columns.length);
		this.tip.replaceChildren(...this.shown.details(at));
		this.tip.hidden = false;
		const middle = this.x(at + 0.5) / this.width * this.box.clientWidth;
		const left = middle > this.box.clientWidth / 2 ? middle - this.tip.offsetWidth - 16 : middle + 16;
		this.tip.style.left = Math.max(0, Math.min(left, this.box.clientWidth - this.tip.offsetWidth)) + 'px';
	}

	leave() {
		this.at = -1;
		this.tip.hidden = true;
		this.said.textContent = '';
		if (this.cursor)
			this.cursor.setAttribute('width', 0);
	}
}
