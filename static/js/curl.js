export function addCurlButtons() {}
