const selects = [...document.querySelectorAll(".filters select")];
const cards = [...document.querySelectorAll(".card")];
function apply() {
  for (const card of cards) {
    card.hidden = selects.some((select) => select.value !== "" && card.dataset[select.name] !== select.value);
    card.style.display = card.hidden ? "none" : "";
  }
}
for (const select of selects) select.addEventListener("change", apply);
apply();
