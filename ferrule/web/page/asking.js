// Asking the server, with the token where it wants one.

const KEY = "ferrule-token";

export class Refused extends Error {}

/** Give what a GET returns. */
export async function read(path) {
  return (await ask(path)).json();
}

/** Give what the server says of a picture (a Blob). */
export async function predict(picture, { crops, explain, signal }) {
  const form = new FormData();
  form.append("files", picture, "photo");
  const query = new URLSearchParams({ crops, explain, abstain: 0 });
  return (await ask(`/predict?${query}`, { method: "POST", body: form, signal })).json();
}

async function ask(path, options = {}) {
  const token = sessionStorage.getItem(KEY);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) {
    await askToken();
    return ask(path, options);
  }
  if (!response.ok) throw new Refused(await tell(response));
  return response;
}

async function tell(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return `The server answered with status ${response.status}.`;
  }
}

let asking = null; // one dialog, however many requests wait for it

function askToken() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("token-dialog");
    const input = document.getElementById("token");
    document.getElementById("token-form").onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, input.value.trim());
      dialog.close();
    };
    dialog.onclose = () => {
      input.value = "";
      asking = null;
      resolve();
    };
    dialog.oncancel = (event) => event.preventDefault();
    dialog.showModal();
  });
  return asking;
}
