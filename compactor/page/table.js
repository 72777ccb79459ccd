/* Tables that sort by any of their columns. */

const ROWS_SHOWN = 15;

/*
 * A table in a box. `columns`: {title, help, text, value, cell, total, rare}: rows are sorted by `value`, as text if `text`, and shown by `cell`; `total`
 * shows the last row; what is `rare` is left out where every row has zero or nothing.
 */
class Table {
	constructor(box, caption, columns, sorted) {
		this.columns = columns;
		this.sorted = sorted;
		this.descending = !columns[sorted].text;
		this.all = false;
		this.heads = columns.map((column, at) => this.makeHead(column, at));
		this.body = element('tbody', {});
		this.foot = element('tfoot', {});
		this.more = element('button', {type: 'button', class: 'all'});
		this.more.addEventListener('click', () => {
			this.all = !this.all;
			this.fill();
		});
		this.table = element('table', {}, element('caption', {}, caption), element('thead', {}, element('tr', {}, ...this.heads)),
			this.body, this.foot);
		this.empty = element('p', {class: 'empty'}, 'None.');
		/* What does not fit can be scrolled to, by keys too. */
		const scroll = element('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption}, this.table);
		box.replaceChildren(scroll, this.empty, this.more);
	}

	makeHead(column, at) {
		const button = element('button', {type: 'button'}, column.title);
		if (column.help)
			button.title = column.help;
		button.addEventListener('click', () => {
			this.descending = this.sorted === at ? !this.descending : !column.text;
			this.sorted = at;
			this.fill();
		});
		return element('th', {scope: 'col', class: column.text || !at ? 'text' : 'number'}, button);
	}

	/* `total`: the last row's cells by column, or null. */
	show(rows, total) {
		this.rows = rows;
		this.total = total;
		this.fill();
	}

	compare(left, right) {
		const column = this.columns[this.sorted];
		const a = column.value(left), b = column.value(right);
		/* What is not known stands last, however the rest is sorted. */
		if (a === null || b === null)
			return (a === null) - (b === null);
		const order = column.text ? a.localeCompare(b, 'en', {numeric: true}) : a - b;
		return this.descending ? -order : order;
	}

	fill() {
		this.shown = this.columns.map(column => !column.rare || this.rows.some(row => column.value(row)));
		const sorted = [...this.rows].sort((left, right) => this.compare(left, right));
		const some = this.all ? sorted : sorted.slice(0, ROWS_SHOWN);
		this.heads.forEach((head, at) => {
			head.hidden = !this.shown[at];
			if (at === this.sorted)
				head.setAttribute('aria-sort', this.descending ? 'descending' : 'ascending');
			else
				head.removeAttribute('aria-sort');
		});
		this.body.replaceChildren(...some.map(row => this.makeRow(row)));
		this.foot.replaceChildren(...this.total && sorted.length > 1 ? [this.makeTotal()] : []);
		this.table.parentNode.hidden = !sorted.length;
		this.empty.hidden = sorted.length > 0;
		this.more.hidden = sorted.length <= ROWS_SHOWN;
		this.more.textContent = this.all ? `Show only ${ROWS_SHOWN}` : `Show all ${formatCount(sorted.length)}`;
	}

	makeRow(row) {
		return element('tr', {}, ...this.makeCells((column, at) => [column.cell ? column.cell(row) : column.value(row)]));
	}

	makeTotal() {
		return element('tr', {}, ...this.makeCells((column, at) => !at ? ['Total'] : column.total ? [column.total(this.total)] : []));
	}

	makeCells(fill) {
		return this.columns.flatMap((column, at) => {
			if (!this.shown[at])
				return [];
			const cell = element(at ? 'td' : 'th', {class: column.text || !at ? 'text' : 'number'}, ...fill(column, at));
			if (!at)
				cell.scope = 'row';
			return [cell];
		});
	}
}

/* Columns that many tables have; their rows are {name, sum} and what they need more. */

function nameColumn(title) {
	return {title, text: true, value: row => row.name, cell: row => element('bdi', {class: 'name'}, row.name)};
}

/* As a rule its counts are zero. */
function rareColumn(title, valueOf, help) {
	return {...countColumn(title, valueOf, help), rare: true};
}

function countColumn(title, valueOf, help) {
	const cell = row => figure(valueOf(row), formatCount(valueOf(row)));
	return {title, help, value: valueOf, cell, total: cell};
}

function costColumn(help) {
	const cell = row => {
		const shown = figure(exactCost(row.sum.cost), formatCost(row.sum.cost, 4));
		if (!row.sum.unpriced)
			return shown;
		return element('span', {class: 'unpriced', title: plural(row.sum.unpriced, 'call') + ' without a price'}, shown, '+');
	};
	return {title: 'Cost, USD', help, value: row => row.sum.usd, cell, total: cell};
}

/* A share with a bar, of at most the whole. */
function shareColumn(title, partOf, wholeOf, help) {
	const value = row => wholeOf(row) ? partOf(row) / wholeOf(row) : null;
	const cell = row => {
		const bar = element('span', {class: 'bar', 'aria-hidden': 'true'});
		bar.style.width = 100 * Math.max(0, Math.min(1, value(row) || 0)) + '%';
		return element('span', {class: 'share'}, element('span', {class: 'track', 'aria-hidden': 'true'}, bar),
			element('span', {}, formatShare(partOf(row), wholeOf(row))));
	};
	return {title, help, value, cell};
}

function durationColumn(title, valueOf) {
	const cell = row => valueOf(row) === null ? '\u2013' : figure(valueOf(row) / 1000, formatDuration(valueOf(row)));
	return {title, value: valueOf, cell, total: cell};
}
