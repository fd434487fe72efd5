// SPDX-License-Identifier: Apache-2.0
// Light or dark, before anything is drawn: the visitor's own choice, else the system's.
// Not a module, so that it runs before the page is painted.

(() => {
  const KEY = "billow-theme";
  const dark = document.getElementById("dark");

  function wear(theme) {
    dark.media = { dark: "all", light: "not all" }[theme] ?? "(prefers-color-scheme: dark)";
    document.documentElement.dataset.theme = theme;
  }

  function chosen() {
    try {
      return localStorage.getItem(KEY) ?? "system";
    } catch {
      return "system";
    }
  }

  wear(chosen());
  window.billowTheme = {
    chosen,
    choose(theme) {
      localStorage.setItem(KEY, theme);
      wear(theme);
      document.dispatchEvent(new CustomEvent("billow:theme"));
    },
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.dispatchEvent(new CustomEvent("billow:theme"));
  });
})();
