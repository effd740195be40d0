// Sets the colour scheme that was chosen here before anything is painted; without a choice the system's holds.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // storage may be forbidden; then the system's scheme holds
}
