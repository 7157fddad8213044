/** What a person set for this browser. Nothing here is secret; it is kept in localStorage where that is allowed. */
export interface Choices {
  theme: 'system' | 'light' | 'dark' | 'contrast';
  density: 'roomy' | 'compact';
  size: 'normal' | 'large' | 'larger';
  sendWith: 'enter' | 'ctrl-enter';
  letters: boolean;
  announce: boolean;
}

const key = 'securelink.settings';

const defaults: Choices = { theme: 'system', density: 'roomy', size: 'normal', sendWith: 'enter', letters: true, announce: true };

function load(): Choices {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(key) ?? '{}');
    if (typeof found !== 'object' || found === null) return { ...defaults };
    const get = <K extends keyof Choices>(name: K, allowed: readonly Choices[K][]): Choices[K] => {
      const value: unknown = (found as Record<string, unknown>)[name];
      return allowed.find((one) => one === value) ?? defaults[name];
    };
    return {
      theme: get('theme', ['system', 'light', 'dark', 'contrast']),
      density: get('density', ['roomy', 'compact']),
      size: get('size', ['normal', 'large', 'larger']),
      sendWith: get('sendWith', ['enter', 'ctrl-enter']),
      letters: get('letters', [true, false]),
      announce: get('announce', [true, false]),
    };
  } catch {
    return { ...defaults };
  }
}

export const settings = $state<Choices>(load());

/** Changes settings, keeps them and puts them into effect. */
export function change(some: Partial<Choices>): void {
  Object.assign(settings, some);
  try {
    localStorage.setItem(key, JSON.stringify(settings));
  } catch {
    // A browser that keeps nothing still obeys until the page closes.
  }
  applySettings();
}

/** Puts theme, density and size on the document. */
export function applySettings(): void {
  const root = document.documentElement;
  if (settings.theme === 'system') delete root.dataset['theme'];
  else root.dataset['theme'] = settings.theme;
  root.dataset['size'] = settings.size;
  root.dataset['density'] = settings.density;
}
