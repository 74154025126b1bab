export function startDrawer() {}
