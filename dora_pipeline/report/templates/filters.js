"use strict";
(() => {
  const names = document.querySelector("#service-names[data-is-part]");
  const field = document.getElementById("service");
  if (!names) return;
  let asked = 0;
  field.addEventListener("input", async () => {
    const turn = ++asked;
    const answer = await fetch(`/services.json?q=${encodeURIComponent(field.value)}`);
    if (!answer.ok || turn !== asked) return;
    const found = await answer.json();
    if (turn !== asked) return;
    names.replaceChildren(...found.map((name) => new Option(name, name)));
  });
})();
