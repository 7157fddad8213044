import type { Fake } from './engine';

declare global {
  interface Window {
    fake: Fake;
  }
}
