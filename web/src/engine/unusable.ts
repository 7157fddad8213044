import type { Fault } from './engine';

/** The engine cannot run in this browser as it is; the fault says why. */
export class Unusable extends Error {
  readonly fault: Fault['fault'];

  constructor(fault: Fault['fault'], detail: string) {
    super(detail);
    this.name = 'Unusable';
    this.fault = fault;
  }
}
