// What waits but is not shown to this person now, because of other people.

/** Sentences about the answer of `GET /api/queue`; none when nothing is left out. */
export function leftToOthers(elsewhere) {
  const { at_work: atWork = 0, people = [], others = 0 } = elsewhere ?? {};
  const names = people.length > 1 ? `${people.slice(0, -1).join(', ')} and ${people.at(-1)} are` : `${people[0]} is`;
  return [
    ...(atWork ? [`${more(atWork)}: ${names} working on ${atWork === 1 ? 'this image' : 'these images'}.`] : []),
    ...(others ? [`${more(others)} in images that are given to others.`] : []),
  ];
}

const more = (number) => (number === 1 ? '1 more waits' : `${number} more wait`);
