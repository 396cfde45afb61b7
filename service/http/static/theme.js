// Applies the theme that was chosen earlier before the page is painted. The choice is the only thing that is stored.
try {
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Storage is disabled: the system's theme is used.
}
