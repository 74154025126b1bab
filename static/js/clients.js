export function startClients() {}
