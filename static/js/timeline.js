export function startTimeline() {}
