export const policy: string;
export function serve(folder: string): Promise<{ url: string; close(): Promise<void> }>;
