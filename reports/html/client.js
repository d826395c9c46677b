// The script of the HTML report: plain, without dependencies, run by the reader's browser. All text enters
// the page as text nodes, never as markup.

const data = JSON.parse(document.getElementById('data').textContent)
const FIELD = Object.fromEntries(data.fields.map((name, place) => [name, place]))
const STATES = ['fail', 'error', 'known', 'pass', 'skip']
const SIGNS = { fail: '✗', error: '!', known: '◇', pass: '✓', skip: '–' }
const ARMS = { treatment: 'different IPC namespaces', control: 'the same IPC namespace' }

/** A text member of a cell's row; empty when it has none. */
const text = (cell, name) => data.texts[cell[FIELD[name]]] ?? ''
const ruleOf = (cell) => data.rules[cell[FIELD.rule]]

const cellsOfRule = data.rules.map(() => [])
for (const cell of data.cells) cellsOfRule[cell[FIELD.rule]].push(cell)

/** An element with attributes and children; strings become text nodes. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes))
    if (value !== undefined) element.setAttribute(key, value)
  element.append(...children.filter((child) => child !== undefined && child !== null))
  return element
}

function makeSvg(name, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  element.append(...children)
  return element
}

function tallyOf(cells) {
  const tally = { fail: 0, error: 0, known: 0, pass: 0, skip: 0 }
  for (const cell of cells) tally[text(cell, 'state')] += 1
  return tally
}

const statesIn = (tally) => STATES.filter((state) => tally[state] > 0)

// ---- sequence diagram -------------------------------------------------------------------------------------

const CHARACTER = 7.6
const LANE = 118
const STEP = 46

/** Who called what: a lifeline for each member and one for the kernel, an arrow there and an answer back. */
function sequence(steps) {
  const who = [...new Set(steps.map(([name]) => name))]
  const cut = (line) => (line.length > 90 ? `${line.slice(0, 89)}…` : line)
  const labels = steps.map(([, call, args, result]) => [cut(`${call}(${args})`), cut(result)])
  const lane = (place) => 70 + place * LANE
  const reach = steps.map(([name], step) => {
    const longest = Math.max(labels[step][0].length, labels[step][1].length + 2)
    return lane(who.indexOf(name)) + 40 + longest * CHARACTER
  })
  const kernel = Math.max(lane(who.length - 1) + 200, ...reach)
  const width = kernel + 70
  const height = 52 + steps.length * STEP + 12
  const svg = makeSvg('svg', {
    width: Math.ceil(width),
    height,
    viewBox: `0 0 ${Math.ceil(width)} ${height}`,
    'aria-hidden': 'true',
    focusable: 'false',
  })
  for (const [place, name] of [...who, 'kernel'].entries()) {
    const x = name === 'kernel' && place === who.length ? kernel : lane(place)
    const half = Math.min(54, Math.max(34, (name.length * CHARACTER) / 2 + 8))
    svg.append(
      makeSvg('line', { class: 'life', x1: x, y1: 34, x2: x, y2: height - 6 }),
      makeSvg(
        'g',
        { class: 'actor' },
        makeSvg('rect', { x: x - half, y: 8, width: half * 2, height: 26, rx: 5 }),
        makeSvg(
          'text',
          { x, y: 26, 'text-anchor': 'middle' },
          name.length > 13 ? `${name.slice(0, 12)}…` : name,
        ),
      ),
    )
  }
  for (const [step, [name]] of steps.entries()) {
    const x = lane(who.indexOf(name))
    const y = 34 + (step + 0.5) * STEP
    const [call, answer] = labels[step]
    const failed = /^E[A-Z0-9]+\b/.test(answer)
    svg.append(
      makeSvg('text', { class: 'number', x: 8, y: y + 4 }, String(step + 1)),
      makeSvg('path', { class: 'call', d: `M${x} ${y}H${kernel - 8}` }),
      makeSvg('path', { class: 'tip', d: `M${kernel - 1} ${y}l-9 -4.5v9z` }),
      makeSvg('text', { class: 'label', x: x + 14, y: y - 5 }, call),
      makeSvg('path', { class: 'answer', d: `M${kernel} ${y + 17}H${x + 9}` }),
      makeSvg('path', { class: 'back', d: `M${x + 1} ${y + 17}l9 -4.5v9z` }),
      makeSvg('text', { class: failed ? 'label errno' : 'label', x: x + 14, y: y + 13 }, `= ${answer}`),
    )
  }
  const list = make('ol', { class: 'steps for-reader' })
  for (const [name, call, args, result] of steps)
    list.append(make('li', {}, `${name}: ${call}(${args}) = ${result}`))
  return make('figure', { class: 'sequence', 'aria-label': 'Who called what' }, svg, list)
}

/** Puts the diagrams of the findings in the place of their lists. */
function drawFindings() {
  for (const place of document.querySelectorAll('[data-evidence]')) {
    const steps = data.evidence[Number(place.dataset.evidence)]
    if (steps) place.replaceChildren(sequence(steps))
  }
}

// ---- a rule -----------------------------------------------------------------------------------------------

function facts(rows) {
  const list = make('dl', { class: 'facts' })
  for (const [name, value] of rows) {
    if (value === '' || value === undefined) continue
    list.append(make('dt', {}, name), make('dd', {}, value))
  }
  return list
}

function lines(list) {
  return make('div', {}, ...list.map((line) => make('div', {}, line)))
}

function predictions(cells) {
  const box = make('div', { class: 'predictions' })
  for (const arm of ['treatment', 'control']) {
    // Ids, pids and made-up names differ from cell to cell and do not make another prediction.
    const kinds = new Map()
    const ofArm = cells.filter((cell) => text(cell, 'arm') === arm)
    for (const cell of ofArm) {
      const expected = text(cell, 'expected')
      const key = expected.replace(/ipcns-[\w-]+|0x[0-9a-f]+|\d+/gi, '#')
      const kind = kinds.get(key) ?? { expected, number: 0 }
      kind.number += 1
      if (expected) kinds.set(key, kind)
    }
    const said = [...kinds.values()].slice(0, 4).map(({ expected, number }) => {
      const count = kinds.size > 1 ? make('span', { class: 'dim' }, ` (${number} cells)`) : null
      return make('p', {}, expected, count)
    })
    if (kinds.size > 4)
      said.push(make('p', { class: 'dim' }, `… and ${kinds.size - 4} more, by way in and flags`))
    const nothing = ofArm.length === 0 ? 'No cell of this arm in this run.' : 'Not told by this run.'
    box.append(
      make(
        'div',
        {},
        make('b', {}, arm === 'treatment' ? 'Predicted when isolated' : 'Predicted when shared'),
        make('span', { class: 'dim' }, ` ${arm}: ${ARMS[arm]}`),
        ...(said.length > 0 ? said : [make('p', { class: 'dim' }, nothing)]),
      ),
    )
  }
  return box
}

/** The cell with its setting, what was expected and seen, and who called what. */
function cellView(cell) {
  const state = text(cell, 'state')
  const steps = data.evidence[cell[FIELD.evidence]]
  const byHand = text(cell, 'byHand')
  const kept = cellsOfRule[cell[FIELD.rule]].find(
    (other) => other[FIELD.evidence] >= 0 && text(other, 'arm') === text(cell, 'arm'),
  )
  const show = kept && make('button', { type: 'button' }, 'show that cell')
  show?.addEventListener('click', () => select(kept))
  return make(
    'div',
    { class: 'cell' },
    make(
      'h4',
      {},
      make('span', { class: `badge ${state}` }, `${SIGNS[state]} ${state}`),
      ` ${text(cell, 'id')}`,
    ),
    facts([
      ['setting', text(cell, 'setting')],
      ['expected', text(cell, 'expected')],
      ['observed', text(cell, 'observed')],
      ['reason', text(cell, 'reason')],
      ['known as', text(cell, 'known')],
      ['note', text(cell, 'note')],
      ['took', `${cell[FIELD.ms]} ms`],
    ]),
    steps
      ? sequence(steps)
      : make(
          'p',
          { class: 'dim' },
          'Its steps were not kept: they are for each cell that did not pass and for one passing cell of each rule and arm. ',
          show,
        ),
    byHand ? make('div', {}, make('span', { class: 'dim' }, 'by hand'), make('pre', {}, byHand)) : null,
  )
}

/** Ways in (and direction and place) × flag sets, a button a cell. */
function miniMatrix(rule, cells, onSelect) {
  const rowOf = (cell) => ['via', 'direction', 'place'].map((name) => text(cell, name)).join(' · ')
  const rows = new Map()
  for (const cell of cells) {
    const row = rowOf(cell)
    if (!rows.has(row)) rows.set(row, new Map())
    const flags = cell[FIELD.flags]
    rows.get(row).set(flags, [...(rows.get(row).get(flags) ?? []), cell])
  }
  const columns = [...new Set(cells.map((cell) => cell[FIELD.flags]))].sort((a, b) => a - b)
  const dense = columns.length > 14
  const head = make('thead', {}, ...(dense ? dotRows(columns) : [wordRow(columns)]))
  const body = make('tbody')
  for (const [name, fields] of rows) {
    const row = make('tr', {}, make('th', { class: 'head', scope: 'row' }, name))
    for (const column of columns) {
      const field = make('td', {})
      for (const cell of fields.get(column) ?? []) field.append(cellButton(cell, onSelect))
      row.append(field)
    }
    body.append(row)
  }
  const table = make(
    'table',
    { class: dense ? 'grid mini dense' : 'grid mini', 'aria-label': `Cells of ${rule.id}` },
    head,
    body,
  )
  table.addEventListener('keydown', (event) => moveIn(table, 'button', event))
  return make('div', { class: 'scroll' }, table)
}

/** Heads of a rule's columns as words. */
function wordRow(columns) {
  const row = make('tr', {}, make('th', { class: 'head', scope: 'col' }, 'way in · direction · place'))
  for (const column of columns) {
    const words = data.flags[column].label.split('+').map((word, place) => (place === 0 ? word : `+${word}`))
    row.append(make('th', { scope: 'col' }, ...words.flatMap((word) => [word, make('br')])))
  }
  return row
}

/** Heads of many columns: a row for each flag, a dot where the column has it. */
function dotRows(columns) {
  const sets = columns.map((column) => data.flags[column].label.split('+'))
  const flags = [...new Set(sets.flat())].filter((flag) => flag !== 'none')
  return flags.map((flag) =>
    make(
      'tr',
      { class: 'dots', 'aria-hidden': 'true' },
      make('td', { class: 'head dim' }, flag),
      ...sets.map((set) => make('td', {}, set.includes(flag) ? '●' : '')),
    ),
  )
}

function cellButton(cell, onSelect) {
  const state = text(cell, 'state')
  const flags = data.flags[cell[FIELD.flags]].label
  const button = make(
    'button',
    {
      type: 'button',
      class: `ground-${state} ${state}${matches(cell) ? '' : ' faint'}`,
      'aria-pressed': 'false',
      'aria-label': `${state}: ${text(cell, 'via')}, ${flags}, ${text(cell, 'direction')}, ${text(cell, 'place')}`,
      title: text(cell, 'id'),
    },
    SIGNS[state],
  )
  button.addEventListener('click', () => onSelect(cell, button))
  buttons.set(cell, button)
  return button
}

const buttons = new Map()

/** Opens the cell's rule and shows the cell. */
function select(cell) {
  const details = document.getElementById(`rule-${ruleOf(cell).id}`)
  if (!details) return
  details.open = true
  fill(details)
  buttons.get(cell)?.click()
  buttons.get(cell)?.focus()
}

/** Draws a rule when it is opened for the first time. */
function fill(details) {
  if (details.dataset.filled) return
  details.dataset.filled = 'yes'
  const index = Number(details.dataset.rule)
  const rule = data.rules[index]
  const cells = cellsOfRule[index]
  const chosen = make('div', { 'aria-live': 'polite' })
  let pressed = null
  const onSelect = (cell, button) => {
    pressed?.setAttribute('aria-pressed', 'false')
    button.setAttribute('aria-pressed', 'true')
    pressed = button
    chosen.replaceChildren(cellView(cell))
  }
  details.querySelector('.body').replaceChildren(
    facts([
      ['source', lines(rule.source)],
      ['needs', rule.requires.join(', ')],
      ['rule', make('span', { class: 'mono' }, rule.where)],
    ]),
    predictions(cells),
    miniMatrix(rule, cells, onSelect),
    chosen,
  )
  // The most telling cell is shown at once: the worst one that has evidence.
  const order = (cell) => STATES.indexOf(text(cell, 'state')) * 2 + (cell[FIELD.evidence] < 0 ? 1 : 0)
  const candidates = cells.filter(matches)
  const first = (candidates.length > 0 ? candidates : cells).reduce((a, b) => (order(b) < order(a) ? b : a))
  buttons.get(first)?.click()
}

// ---- filters ----------------------------------------------------------------------------------------------

const filterForm = document.querySelector('form[role=search]')
const ruleElements = [...document.querySelectorAll('details.rule')]

let wanted = { flags: '', via: '', state: '' }

/** True when the cell agrees with the filters on flags, way in and verdict. */
function matches(cell) {
  const { flags, via, state } = wanted
  return (
    (flags === '' || flags === String(cell[FIELD.flags]) || flags === halfOf(cell)) &&
    (via === '' || text(cell, 'via') === via) &&
    (state === '' || text(cell, 'state') === state)
  )
}

/** Which half of the matrix the cell stands in. */
const halfOf = (cell) => (data.flags[cell[FIELD.flags]].ipc ? 'ipc' : 'shared')

function applyFilter() {
  const { area: areaField, text: textField, flags, via, state } = filterForm.elements
  const area = areaField.value
  const words = textField.value.trim().toLowerCase()
  wanted = { flags: flags.value, via: via.value, state: state.value }
  let rules = 0
  let cells = 0
  for (const element of ruleElements) {
    const index = Number(element.dataset.rule)
    const rule = data.rules[index]
    const said = [rule.id, rule.title, ...rule.source].join('\n').toLowerCase()
    const fits = (area === '' || rule.area === area) && (words === '' || said.includes(words))
    const count = fits ? cellsOfRule[index].filter(matches).length : 0
    element.hidden = count === 0
    if (count === 0) continue
    rules += 1
    cells += count
  }
  for (const box of document.querySelectorAll('div.area'))
    box.hidden = !box.querySelector('details.rule:not([hidden])')
  for (const [cell, button] of buttons) button.classList.toggle('faint', !matches(cell))
  document.getElementById('shown').textContent = `${rules} of ${ruleElements.length} rules, ${cells} cells`
}

/** Shows the rules behind a field of the matrix. */
function showField(field) {
  const { area, flags, via, state, text: words } = filterForm.elements
  area.value = field.dataset.a
  flags.value = field.dataset.f
  via.value = matrixForm?.elements.via.value ?? ''
  state.value = ''
  words.value = ''
  applyFilter()
  const shown = ruleElements.filter((element) => !element.hidden)
  const worst = shown.find((element) => element.querySelector('.badge.fail, .badge.error')) ?? shown[0]
  if (worst) {
    worst.open = true
    fill(worst)
    worst.querySelector('summary').focus({ preventScroll: true })
  }
  document.getElementById('rules').scrollIntoView()
}

// ---- matrix -----------------------------------------------------------------------------------------------

const grid = document.getElementById('grid')
const matrixForm = document.querySelector('#matrix form')

/** Moves the focus among the fields of a table: arrows, Home, End, with Ctrl to the corners. */
function moveIn(table, selector, event) {
  const from = event.target.closest('td')
  if (!from) return
  // Rows of one cell are headings.
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]).filter((row) => row.cells.length > 1)
  const row = rows.indexOf(from.parentElement)
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }
  const last = rows[0].cells.length - 1
  let to = null
  if (steps[event.key]) {
    const [down, right] = steps[event.key]
    // Empty fields of a rule's table are stepped over.
    for (let y = row + down, x = from.cellIndex + right; rows[y]?.cells[x]; y += down, x += right) {
      if (rows[y].cells[x].tagName === 'TH') break
      to = rows[y].cells[x]
      if (selector === 'td' || to.querySelector(selector)) break
    }
  } else if (event.key === 'Home') to = rows[event.ctrlKey ? 0 : row].cells[1]
  else if (event.key === 'End') to = rows[event.ctrlKey ? rows.length - 1 : row].cells[last]
  if (!to) return
  event.preventDefault()
  const target = selector === 'td' ? to : to.querySelector(selector)
  if (!target) return
  if (selector === 'td') {
    from.tabIndex = -1
    target.tabIndex = 0
  }
  target.focus()
}

function startGrid() {
  if (!grid) return
  grid.querySelector('td[role=gridcell]').tabIndex = 0
  grid.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault()
      const field = event.target.closest('td[role=gridcell]')
      if (field) showField(field)
    } else moveIn(grid, 'td', event)
  })
  grid.addEventListener('click', (event) => {
    const field = event.target.closest('td[role=gridcell]')
    if (field) showField(field)
  })
  matrixForm.addEventListener('input', redrawGrid)
}

/** Counts the fields again for the chosen way in and arm. */
function redrawGrid() {
  const via = matrixForm.elements.via.value
  const arm = matrixForm.elements.arm.value
  const fields = new Map()
  for (const cell of data.cells) {
    if ((via && text(cell, 'via') !== via) || (arm && text(cell, 'arm') !== arm)) continue
    const { area } = ruleOf(cell)
    for (const key of [`${area}\n${cell[FIELD.flags]}`, `${area}\n${halfOf(cell)}`, `${area}\n`]) {
      if (!fields.has(key)) fields.set(key, [])
      fields.get(key).push(cell)
    }
  }
  for (const field of grid.querySelectorAll('td[role=gridcell]')) {
    const cells = fields.get(`${field.dataset.a}\n${field.dataset.f}`) ?? []
    const tally = tallyOf(cells)
    const states = statesIn(tally)
    field.className = `ground-${states[0] ?? 'empty'}${field.classList.contains('edge') ? ' edge' : ''}${field.classList.contains('total') ? ' total' : ''}`
    field.replaceChildren(
      ...states.map((state, place) =>
        make(
          'span',
          { class: place === 0 ? state : `${state} rest` },
          SIGNS[state],
          make('span', { class: 'number' }, ` ${tally[state]}`),
        ),
      ),
    )
    if (states.length === 0) field.append(make('span', { class: 'dim' }, '·'))
    const words = states.map((state) => `${tally[state]} ${state}`).join(', ') || 'no cell'
    field.setAttribute('aria-label', `${field.getAttribute('aria-label').split(':')[0]}: ${words}`)
  }
}

// ---- start ------------------------------------------------------------------------------------------------

function openHash() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)))
  if (!target?.matches('details.rule')) return
  if (target.hidden) {
    filterForm.reset()
    applyFilter()
  }
  target.open = true
  target.scrollIntoView()
}

for (const element of document.querySelectorAll('.needs-script')) element.hidden = false
// Once for all rules: the event of a details element does not bubble, but it can be captured.
document.addEventListener(
  'toggle',
  (event) => event.target.matches?.('details.rule[open]') && fill(event.target),
  true,
)
filterForm.addEventListener('input', applyFilter)
filterForm.addEventListener('reset', () => setTimeout(applyFilter))
for (const form of document.forms) form.addEventListener('submit', (event) => event.preventDefault())
window.addEventListener('hashchange', openHash)
drawFindings()
startGrid()
applyFilter()
openHash()
