// A picture is wider than its column: it opens at its own size.
for (const picture of document.querySelectorAll("article img")) {
  if (!picture.closest("a")) {
    const link = document.createElement("a");
    link.href = picture.src;
    picture.replaceWith(link);
    link.append(picture);
  }
}

// What is told by its type alone has no dash behind it.
for (const words of document.querySelectorAll(".doc-md-description")) {
  if (!words.textContent.trim()) words.previousSibling.remove();
}

// A line breaks between the words of a command, not behind the hyphens of an option.
for (const code of document.querySelectorAll("article :not(pre) > code, article .language-sh code")) {
  const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    if (/-/.test(texts.currentNode.data)) found.push(texts.currentNode);
  }
  for (const text of found) {
    const parts = text.data.split(/(\S*-\S*)/).map((part, place) => {
      if (place % 2 === 0 || part.length > 30) return part;
      const word = document.createElement("span");
      word.style.whiteSpace = "nowrap";
      word.textContent = part;
      return word;
    });
    text.replaceWith(...parts);
  }
}
