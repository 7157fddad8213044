import './app.css';
import { mount } from 'svelte';
import { connect } from '#engine';
import type { Site } from './engine/engine';
import { App } from './state/app.svelte';
import { route } from './state/route.svelte';
import { applySettings } from './state/settings.svelte';
import Root from './ui/Root.svelte';

const link = route.start();
applySettings();

const unknown: Site = { name: 'SecureLink', pin: '', version: '', build: '' };

/** What the server says of itself; the page's head has asked for it already. */
async function site(): Promise<Site> {
  try {
    const answer = await fetch('/app.json');
    const found: unknown = await answer.json();
    if (typeof found !== 'object' || found === null) return unknown;
    const text = (name: keyof Site): string => {
      const value = (found as Record<string, unknown>)[name];
      return typeof value === 'string' ? value : unknown[name];
    };
    return { name: text('name') || unknown.name, pin: text('pin'), version: text('version'), build: text('build') };
  } catch {
    return unknown;
  }
}

const target = document.getElementById('app');
if (target) {
  // Nothing waits for anything: the form is there at once, and what is written
  // into it is asked of the engine when that has come.
  const found = site();
  const app = new App(connect(found));
  app.link = link;
  mount(Root, { target, props: { app } });
  app.site = await found;
}
