// With two guests chosen, the table shows only the rules in which they differ, and only their columns.
const [left, right] = ['left', 'right'].map((id) => document.getElementById(id))
const rows = [...document.querySelectorAll('#rules tbody tr')]
const cells = [...document.querySelectorAll('#rules [data-guest]')]

function stateIn(row, guest) {
  return row.querySelector(`[data-guest="${guest}"]`).className
}

function show() {
  const both = left.value !== '' && right.value !== ''
  for (const cell of cells) cell.hidden = both && ![left.value, right.value].includes(cell.dataset.guest)
  for (const row of rows) row.hidden = both && stateIn(row, left.value) === stateIn(row, right.value)
  const differing = rows.filter((row) => !row.hidden).length
  document.getElementById('count').textContent = both ? `${differing} of ${rows.length} rules differ` : ''
}

left.addEventListener('change', show)
right.addEventListener('change', show)
show()
