export function startConnections() {}
