// Requests to the service: keys, waiting, streams of JSON lines, errors. Knows no element of the page.

import {askForKey, keyHeaders} from "./keys.js";

/** A request that failed; the message is a sentence. */
export class ApiError extends Error {
  constructor(message, {status = 0, code = "", param = null} = {}) {
    super(message);
    Object.assign(this, {status, code, param});
  }
}

export const BROKEN = "connection_broken";
const broken = () => new ApiError("The connection broke.", {code: BROKEN});

/**
 * Send a request until it is accepted. A refusal with Retry-After is sent again after that time, and `onWait` is called
 * each second with the seconds that are left and the error.
 */
export async function send(path, {body, accept = "application/json", signal, onWait = () => {}} = {}) {
  for (;;) {
    const response = await attempt(path, body, accept, signal);
    if (response.ok) return response;
    const error = await errorOf(response);
    if (response.status === 401 && (await askForKey())) continue;
    const seconds = Number(response.headers.get("Retry-After"));
    if (!(seconds > 0) || ![429, 503].includes(response.status)) throw error;
    for (let left = seconds; left > 0; left -= 1) {
      onWait(left, error);
      await pause(1000, signal);
    }
    onWait(0, error);
  }
}

async function attempt(path, body, accept, signal) {
  const headers = {Accept: accept, ...keyHeaders()};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(new URL(path, document.baseURI), {
      method: body === undefined ? "GET" : "POST", headers, body: body && JSON.stringify(body), signal, cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("The service does not answer.", {code: "unreachable"});
  }
}

async function errorOf(response) {
  try {
    const {error} = await response.json();
    return new ApiError(error.message, {status: response.status, code: error.code, param: error.param});
  } catch {
    return new ApiError(`The service answered ${response.status}.`, {status: response.status});
  }
}

/** Wait some milliseconds, or until `signal` aborts. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, {once: true});
  });
}

/** The objects of an NDJSON or event stream, in lists: one list for each piece that has arrived. */
export async function* events(response, signal) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const {done, value} = await reader.read();
      const lines = (rest + (value ?? "")).split("\n");
      rest = done ? "" : lines.pop(); // the beginning of a line whose end has not arrived
      const objects = [];
      for (const line of lines) {
        const json = line.startsWith("data:") ? line.slice(5) : line;
        if (json[0] !== ":" && json.trim()) objects.push(JSON.parse(json));
      }
      const failed = objects.find((object) => object.error);
      if (failed) throw new ApiError(failed.error.message, {status: 200, code: failed.error.code});
      if (objects.length) yield objects;
      if (done) return;
    }
  } catch (error) {
    if (signal?.aborted || error instanceof ApiError) throw error;
    throw broken();
  } finally {
    reader.cancel().catch(() => {});
  }
}

const withoutGuesses = new Set(); // versions that were published without the function that gives guesses
const FORGET_MS = 60_000; // the newest version of a model may be another one by then

/**
 * Generate a text. Calls `onStart` with the model, version and seed, and `onCharacters` with lists of characters.
 *
 * Returns the last event of the stream.
 */
export async function generate(params, {signal, onWait, onStart, onCharacters}) {
  const id = `${params.model}@${params.version}`;
  let response;
  for (;;) {
    const body = {...params};
    if (!withoutGuesses.has(id)) body.top_guesses = 5;
    try {
      response = await send("generate", {body, accept: "text/event-stream", signal, onWait});
      break;
    } catch (error) {
      if (error.status !== 501 || withoutGuesses.has(id)) throw error;
      withoutGuesses.add(id);
      if (params.version === undefined) setTimeout(() => withoutGuesses.delete(id), FORGET_MS);
    }
  }
  const header = (name) => response.headers.get(name);
  onStart({model: header("X-Model"), version: Number(header("X-Model-Version")), seed: Number(header("X-Seed"))});
  for await (const objects of events(response, signal)) {
    const last = objects.at(-1);
    const isOver = "finish_reason" in last;
    onCharacters(isOver ? objects.slice(0, -1) : objects);
    if (isOver) return last;
  }
  throw broken();
}

/** Score a text; `onLogprobs` is called with lists of logprobs as they arrive. Returns the last line. */
export async function score(body, {signal, onWait, onLogprobs}) {
  const request = {body: {...body, logprobs: true}, accept: "application/x-ndjson", signal, onWait};
  const response = await send("score", request);
  for await (const objects of events(response, signal)) {
    for (const object of objects) {
      if (object.logprobs && !("finish_reason" in object)) onLogprobs(object.logprobs);
    }
    if ("finish_reason" in objects.at(-1)) return objects.at(-1);
  }
  throw broken();
}

/** The response of GET /models. */
export const models = async (onWait) => (await send("models", {onWait})).json();

const versions = new Map();

/** The manifest and history of a version, asked for once. */
export function versionOf(name, version, onWait) {
  const path = `models/${encodeURIComponent(name)}/${version}`;
  if (!versions.has(path)) {
    const found = send(path, {onWait}).then((response) => response.json());
    found.catch(() => versions.delete(path));
    versions.set(path, found);
  }
  return versions.get(path);
}
