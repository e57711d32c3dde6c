// Before the first paint (a classic script in <head>): the reader's theme and language, so that nothing flashes.
(() => {
  const kept = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // storage is closed to the page: the defaults hold
    }
  };
  const theme = kept("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  document.documentElement.lang = kept("language") === "en" ? "en" : "pt-BR";
})();
