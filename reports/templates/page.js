// What every page does. All of it is readable without: controls are made here, or shown by the class "js".
const root = document.documentElement;
root.classList.add("js");
