export function startAlerts() {}
