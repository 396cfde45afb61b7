// The address of each view: a link to what it shows. The address bar has that of the view that is shown.

const MOST_CHARS = 8000; // a longer link is not in the address bar
const addresses = new Map();

/** The name of a view and the query in an address, undefined without one. */
export const parts = (hash) => hash.slice(1).split(/\?(.*)/s);

/** Set the address of a view, which may not be the one that is shown. */
export function setAddress(view, fragment) {
  const address = fragment.length <= MOST_CHARS ? fragment : `#${view}`;
  addresses.set(view, address);
  if ((parts(location.hash)[0] || "write") === view) history.replaceState(null, "", address);
}

export const addressOf = (view) => addresses.get(view);
