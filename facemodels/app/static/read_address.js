// What the page's address names: an update for each of the components that `address.py` lists.
(known) => {
  document.documentElement.dataset.fmAddress = 'read';
  const query = new URLSearchParams(location.search);
  return Object.entries(known).map(([name, {values, key, several}]) => {
    const asked = (query.get(name) ?? '').split(',').filter((one) => values.includes(one));
    return asked.length ? {__type__: 'update', [key]: several ? asked : asked[0]} : {__type__: 'update'};
  });
}
