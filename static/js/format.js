// How numbers, times and texts of others read on the dashboard: bounded, whatever they are.

const MAX_DIGITS = 40; // that a number is written out with; a longer one keeps its exponent
const MAX_COUNT = 1e15;
const MAX_TEXT = 500; // characters

/** A table to look up words of others in: `constructor` and `__proto__` are not in it. */
export const table = (entries) => Object.assign(Object.create(null), entries);

export const isObject = (value) => typeof value === "object" && value !== null;

/** A text of others as far as it is shown; empty for what is none. An object may break whoever wants it as a text. */
export function textOf(value, most = MAX_TEXT) {
  if (typeof value === "string") return value.length > most ? `${value.slice(0, most - 1)}…` : value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

/** A number of others: NaN for what is none, and for a text that no number needs. */
export function numberOf(value) {
  if (typeof value === "number") return value;
  return typeof value === "string" && value.trim() && value.length <= MAX_DIGITS ? Number(value) : NaN;
}

const WITH_PRICE_DIGITS = new Set([
  "price", "bid", "ask", "volume_24h", "price_24h", "low_24h", "high_24h", "price_change_24h",
  "price_change_percent_24h", "last_size",
]);

/** A JSON.parse reviver that keeps the digits of price fields as the text the server sent ("133.630"). */
export function exactNumbers(key, value, context) {
  if (typeof value !== "number" || !WITH_PRICE_DIGITS.has(key)) return value;
  return plain(context?.source ?? value);
}

/** A number as plain decimal text, without exponent and without losing digits; whole ones get .0, as in the JSON. */
export function plain(value) {
  const given = String(value);
  const text = given.length > MAX_DIGITS ? String(Number(given)) : given;
  const match = /^(-?)(\d+)(?:\.(\d*))?e([+-]?\d+)$/i.exec(text);
  if (!match) return /^-?\d+$/.test(text) ? `${text}.0` : text;
  const [, sign, whole, fraction = "", exponent] = match;
  const point = whole.length + Number(exponent);
  if (!(Math.abs(point) <= MAX_DIGITS)) return text;
  const digits = whole + fraction;
  if (point <= 0) return `${sign}0.${"0".repeat(-point)}${digits}`;
  if (point >= digits.length) return `${sign}${digits}${"0".repeat(point - digits.length)}.0`;
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** Plain decimal text with its integer part grouped: 67,123.45. Zero stands for "the exchange did not send it". */
export function exact(text) {
  if (!text || !Number(text) || !Number.isFinite(Number(text))) return "–";
  const found = plain(text);
  const [whole, fraction] = found.split(".");
  if (!/^-?\d+$/.test(whole) || !/^\d*$/.test(fraction)) return found; // it has an exponent
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return `${grouped}.${fraction}`;
}

const INTEGER = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export function count(value) {
  if (!Number.isFinite(value)) return "–";
  return Math.abs(value) < MAX_COUNT ? INTEGER.format(value) : value.toExponential(2);
}

/** 0.4 ms, 12 ms, 1.3 s; null is an unknown one. */
export function milliseconds(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 9_950) return age(value / 1000);
  if (size >= 995) return `${(value / 1000).toFixed(1)} s`;
  return `${value.toFixed(size < 9.95 ? 1 : 0)} ms`;
}

export function bytes(value) {
  if (!Number.isFinite(value)) return "–";
  for (const [unit, suffix] of [[1e9, "GB"], [1e6, "MB"], [1e3, "KB"]]) {
    if (value >= unit) return `${(value / unit).toFixed(1)} ${suffix}`;
  }
  return `${Math.round(value)} B`;
}

export function compact(value) {
  if (!Number.isFinite(value)) return "–";
  for (const [unit, suffix] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]]) {
    if (value >= unit) return (value / unit).toFixed(2) + suffix;
  }
  return value.toFixed(2);
}

/** [text, "up" | "down" | "flat"] of a change in percent; null is an unknown one. */
export function change(value) {
  if (!Number.isFinite(value)) return ["–", "flat"];
  const text = Math.abs(value).toFixed(2);
  if (text === "0.00") return ["0.00%", "flat"];
  return value > 0 ? [`+${text}%`, "up"] : [`−${text}%`, "down"];
}

/** How old something is, in one unit: it is read at a glance, and changes width as little as possible. */
export function age(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}
