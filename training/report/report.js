/* Shows one sample at a time, at one temperature. Without the script the samples are a list to unfold. */
const samples = document.querySelector("#samples");
if (samples) {
  const entries = [...samples.querySelectorAll("details")], stepper = samples.querySelector(".stepper");
  const slider = stepper.querySelector("input"), tabs = [...stepper.querySelectorAll(".bar button")];
  const show = (index) => {
    slider.value = Math.min(Math.max(index, 0), entries.length - 1);
    entries.forEach((entry, at) => { entry.open = at === Number(slider.value); });
    slider.setAttribute("aria-valuetext", entries[slider.value].querySelector("summary").textContent);
  };
  const choose = (tab) => {
    tabs.forEach((other) => other.setAttribute("aria-pressed", other === tab));
    samples.querySelectorAll(".sample").forEach((sample) => {
      sample.classList.toggle("chosen", sample.dataset.temperature === tab.dataset.temperature);
    });
  };
  tabs.forEach((tab) => tab.addEventListener("click", () => choose(tab)));
  slider.addEventListener("input", () => show(Number(slider.value)));
  stepper.querySelectorAll("[data-by]").forEach((button) => {
    button.addEventListener("click", () => show(Number(slider.value) + Number(button.dataset.by)));
  });
  samples.classList.add("stepped");
  stepper.hidden = false;
  show(entries.length - 1);
  choose(tabs[tabs.length >> 1]);
}
