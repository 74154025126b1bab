export function startBudget() {}
