import type { Engine, Site } from './engine';
import { Remote } from './remote';

/** Starts the engine of this page: a worker, or the worker of the tab that leads. */
export function connect(site: Promise<Site>): Engine {
  return new Remote(site);
}
