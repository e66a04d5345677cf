// What waits but is not shown to this person now, because of other people.

const MOST_NAMED = 4;

/** Sentences about the answer of `GET /api/queue`; none when nothing is left out. `owners` name whose the others are. */
export function leftToOthers(elsewhere, owners = []) {
  const { at_work: atWork = 0, people = [], others = 0 } = elsewhere ?? {};
  const names = people.length > 1 ? `${people.slice(0, -1).join(', ')} and ${people.at(-1)} are` : `${people[0]} is`;
  return [
    ...(atWork ? [`${more(atWork)}: ${names} working on ${atWork === 1 ? 'this image' : 'these images'}.`] : []),
    ...(others ? [`${more(others)} in images that are given to others${ownersText(owners)}.`] : []),
  ];
}

const more = (number) => (number === 1 ? '1 more waits' : `${number} more wait`);

const ownersText = (owners) => (owners.length === 0 ? '' : `: ${owners.slice(0, MOST_NAMED).join(', ')}${owners.length > MOST_NAMED ? ' and more' : ''}`);
