/* A click on a 3-D view's picture loads the view itself in its place. */
document.querySelectorAll("a.view").forEach((link) => {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const frame = document.createElement("iframe");
    frame.src = link.getAttribute("href");
    frame.loading = "lazy";
    frame.title = link.title;
    link.replaceWith(frame);
  });
});
