import type { LaunchOptions } from 'playwright-core';
export const launch: LaunchOptions;
