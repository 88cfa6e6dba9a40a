// What the page's address names: an update for each of the components that `address.py` lists.
(known) => {
  document.documentElement.dataset.fmAddress = 'read';
  const query = new URLSearchParams(location.search);
  return Object.entries(known).map(([name, {values, key, several, span}]) => {
    const asked = (query.get(name) ?? '').split(',').filter((one) => values.includes(one));
    const number = span && query.has(name) ? Number(query.get(name) || NaN) : NaN;
    const value = number >= span?.[0] && number <= span[1] ? number : several ? asked : asked[0];
    return value === undefined || value.length === 0 ? {__type__: 'update'} : {__type__: 'update', [key]: value};
  });
}
