"use strict";
(() => {
  const form = document.getElementById("choices");
  const told = document.getElementById("chosen");
  const marked = [...document.querySelectorAll("[data-env], [data-team], [data-service]")];
  const rows = marked.filter((element) => element.tagName === "TR");
  const chosen = (name) => (form.elements[name]?.selectedIndex > 0 ? form.elements[name].value : null);

  function choose() {
    const env = chosen("env");
    const team = chosen("team");
    const service = (form.elements.service?.value ?? "").trim().toLowerCase();
    for (const element of marked) {
      const of = element.dataset;
      element.hidden =
        (env !== null && of.env !== undefined && of.env !== env) ||
        (team !== null && of.team !== undefined && of.team !== team) ||
        (service !== "" && of.service !== undefined && !of.service.toLowerCase().includes(service));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    told.textContent =
      shown === rows.length ? "All rows are shown." : `${shown} of ${rows.length} rows of the tables are shown.`;
  }

  if (form) {
    form.hidden = false;
    form.addEventListener("input", choose);
    form.addEventListener("submit", (event) => event.preventDefault());
    choose();
  }
})();
