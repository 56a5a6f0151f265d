// What this browser has asked, kept in its own database: no more than a few, and none that is large.

const NAME = "visionthink";
const STORE = "requests";
const MOST = 24;
const MOST_BYTES = 4 << 20;

function open() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(NAME, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "at" });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
}

async function within(mode, work) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

/** The newest first. A browser that keeps nothing, in a private window say, has none. */
export const all = () => within("readonly", (store) => store.getAll()).then((found) => found.reverse(), () => []);

/** Keeps a request, `{at, question, answer, image, thumb, lines}`, and lets the oldest go. */
export async function keep(entry) {
  try {
    await within("readwrite", (store) => store.put({ ...entry, image: entry.image.size > MOST_BYTES ? null : entry.image }));
    const old = (await all()).slice(MOST);
    for (const { at } of old) await within("readwrite", (store) => store.delete(at));
  } catch {
    // Without a place to keep it the page works all the same.
  }
}

export const clear = () => within("readwrite", (store) => store.clear()).catch(() => {});
