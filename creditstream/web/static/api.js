// The JSON API. Without a login the reader is sent to the login form and comes back to where they were.

export class ApiError extends Error {
  /** `status`: 0 when there was no answer. */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The JSON at `path`. Raises ApiError; an abort stays an AbortError. */
export async function getJson(path, signal) {
  let answer;
  try {
    answer = await fetch(path, { headers: { Accept: "application/json" }, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, String(error.message));
  }
  if (answer.status === 401) toLogin();
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new ApiError(answer.status, body?.error ?? answer.statusText);
  return body;
}

export function toLogin() {
  try {
    sessionStorage.setItem("back", location.pathname + location.search);
  } catch {
    // then the login leads to the start
  }
  location.assign("/login");
}

/** Where the reader was before the login, once. */
export function wayBack() {
  try {
    const back = sessionStorage.getItem("back");
    sessionStorage.removeItem("back");
    return back?.startsWith("/") && !back.startsWith("//") ? back : null;
  } catch {
    return null;
  }
}
