// Names a choice in the page's address, or forgets the name of what holds anyway.
(name, standard, value) => {
  if (!document.documentElement.dataset.fmAddress) return;  // a tab that opens by itself, before the address was read
  const page = new URL(location.href), [said, usual] = [value, standard].map((one) => [one].flat().sort().join(','));
  if (said === usual || !said) page.searchParams.delete(name);
  else page.searchParams.set(name, [value].flat().join(','));
  history.replaceState(history.state, '', page);
}
