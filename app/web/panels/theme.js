// Light or dark: as the system has it, unless the person chose one here or through Gradio's own ?__theme=.

const KEPT = 'pixelsieve.theme';
const CHOICES = ['system', 'light', 'dark'];
const system = matchMedia('(prefers-color-scheme: dark)');

function keep(choice) {
  try {
    localStorage.setItem(KEPT, choice);
  } catch { /* Then it holds for this page. */ }
}

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

const asked = new URLSearchParams(location.search).get('__theme');
if (CHOICES.includes(asked)) keep(asked);
let choice = [asked, kept()].find((each) => CHOICES.includes(each)) ?? 'system';

function apply() {
  const isDark = choice === 'dark' || (choice === 'system' && system.matches);
  document.body.classList.toggle('dark', isDark);
  document.documentElement.style.colorScheme = isDark ? 'dark' : 'light'; // Scroll bars and form controls follow, too.
}

export const themeChoice = () => choice;

/** The next of system, light and dark. */
export function nextTheme() {
  choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
  keep(choice);
  apply();
  return choice;
}

apply();
system.addEventListener('change', apply);
window.addEventListener('storage', ({ key, newValue }) => {
  if (key !== KEPT || !CHOICES.includes(newValue)) return;
  choice = newValue; // Chosen in another tab.
  apply();
});
new MutationObserver(apply).observe(document.body, { attributeFilter: ['class'] }); // Gradio sets it when it starts.
