
// Below: what the visitor corrects on the cards. It stays in the browser, until its window is closed, and leaves as a
// table that `python -m facemodels evaluate` and `python -m training.data.own.prepare` take beside the photos.

const stored = () => JSON.parse(sessionStorage.getItem('fm-corrections') ?? '{}');
const store = (all) => sessionStorage.setItem('fm-corrections', JSON.stringify(all));
const keyOf = (one) => summary().name + '|' + one.dataset.box;

const tell = () => {
  const foot = element.querySelector('.fm-corrections');
  if (!foot) return;
  const all = stored(), count = Object.keys(all).length;
  foot.hidden = !count;
  foot.querySelector('button').textContent = (count === 1 ? foot.dataset.one : foot.dataset.many).replace('#', count);
  for (const one of cards()) {
    for (const field of one.querySelectorAll('[data-correct]')) {
      field.value = all[keyOf(one)]?.labels[field.dataset.correct] ?? '';
    }
    one.classList.toggle('fm-corrected', keyOf(one) in all);
  }
};

const cell = (text) => /[",\r\n]/.test(text) ? '"' + String(text).replaceAll('"', '""') + '"' : text;
const table = (rows) => {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.labels)))];
  const lines = rows.map(({path, box: [x, y, width, height], labels}) =>
    [path, x, y, x + width, y + height, ...names.map((name) => labels[name] ?? '')]);
  return [['path', 'x1', 'y1', 'x2', 'y2', ...names], ...lines].map((line) => line.map(cell).join(',') + '\n').join('');
};

element.addEventListener('change', (event) => {
  const {correct} = event.target.dataset, one = event.target.closest('.fm-card');
  if (!correct || !event.target.validity.valid) return;
  const all = stored(), key = keyOf(one);
  const row = all[key] ??= {path: summary().name, box: one.dataset.box.split(' ').map(Number), labels: {}};
  if (event.target.value) row.labels[correct] = event.target.value;
  else delete row.labels[correct];
  if (!Object.keys(row.labels).length) delete all[key];
  store(all);
  tell();
});
element.addEventListener('click', (event) => {
  const {action} = event.target.dataset;
  if (action === 'corrections') save('corrections.csv', new Blob([table(Object.values(stored()))], {type: 'text/csv'}));
  if (action === 'forget') {
    store({});
    tell();
  }
});
watch('value', tell);
