// Shows the methods that fit every ticked box; without a script the page is its sections.
{
  const form = document.querySelector("form.have");
  const rows = [...form.querySelectorAll("[data-fits]")];
  const status = form.querySelector("[role=status]");
  const show = () => {
    const asked = [...form.querySelectorAll("input:checked")].map((box) => box.value);
    for (const row of rows) row.hidden = !asked.length || !asked.every((key) => row.dataset.fits.split(" ").includes(key));
    const left = rows.filter((row) => !row.hidden).length;
    status.textContent = asked.length ? `${left} of ${rows.length} methods fit` : "";
  };
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
}
