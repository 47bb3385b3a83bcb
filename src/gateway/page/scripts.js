// Prepared messages: questions for the assistant, and rehearsal scripts for every possible course of
// a run (docs/agents.md).

const question = (name, text) => ({ name, agent_name: 'assistant', text });
const rehearsal = (name, ...steps) => ({ name, agent_name: 'rehearsal', text: JSON.stringify({ steps }, null, 1) });

const think = (text, more = {}) => ({ think: text, ...more });
const tool = (call_id, tool_name, takes_ms, more = {}) => ({
  tool: { call_id, tool_name, parameters: {}, takes_ms, results: null, error: null, ...more },
});

export const QUESTIONS = Object.freeze([
  question('What is (17 + 4) × 2¹⁰?', 'What is (17 + 4) * 2^10?'),
  question('What time is it in Tokyo?', 'What time is it in Asia/Tokyo?'),
  question('What did I ask before?', 'Search my history for "Tokyo".'),
]);

export const REHEARSALS = Object.freeze([
  rehearsal(
    'The five events',
    think('A tool will help. '),
    think('The weather service has a forecast for Bergen.'),
    tool('c1', 'forecast', 400, {
      parameters: { place: 'Bergen', days: 1 },
      results: { sky: 'rain', high_c: 11, low_c: 7 },
    }),
    { answer: 'Rain in Bergen tomorrow, ' },
    { answer: 'between 7 and 11 °C. Take a coat.' },
  ),
  rehearsal(
    'Think for a while',
    think('thinking … ', { repeat: 40, interval_ms: 100 }),
    think('half way', { kind: 'progress' }),
    think('still thinking … ', { repeat: 40, interval_ms: 100 }),
    { answer: 'That took eight seconds.' },
  ),
  rehearsal(
    'A slow tool (cancel it)',
    think('This takes a minute; cancel it while the tool runs.'),
    tool('slow', 'long_search', 60_000, { parameters: { query: 'everything' }, results: { found: 0 } }),
    { answer: 'Nobody cancelled.' },
  ),
  rehearsal(
    'Parallel tools',
    think('Three calls side by side; they close in another order than they opened.'),
    {
      tools: [
        { call_id: 'a', tool_name: 'flights', parameters: { to: 'Oslo' }, takes_ms: 1_500, results: { cheapest_eur: 89 } },
        { call_id: 'b', tool_name: 'trains', parameters: { to: 'Oslo' }, takes_ms: 500, results: { hours: 17 } },
        { call_id: 'c', tool_name: 'ferries', parameters: { to: 'Oslo' }, takes_ms: 1_000, error: 'no timetable today' },
      ],
    },
    { answer: 'Fly for 89 €, or take the train for 17 hours.' },
  ),
  rehearsal(
    'Ask for approval',
    think('This needs your word.'),
    { ask: { call_id: 'q1', tool_name: 'approve', parameters: { tool_name: 'letters/send', parameters: { to: 'everyone', pages: 2 } } } },
    { answer: 'Thank you, noted.' },
  ),
  rehearsal(
    'Two questions at once, then a tool',
    think('First a question.'),
    { ask: { call_id: 'q1', tool_name: 'answer', parameters: { question: 'Which city?' } } },
    think('Then another.'),
    { ask: { call_id: 'q2', tool_name: 'answer', parameters: { question: 'Which day?' } } },
    tool('c1', 'book', 300, { parameters: { seats: 1 }, results: { reference: 'QT-5' } }),
    { answer: 'Booked.' },
  ),
  rehearsal(
    'A form from a JSON Schema',
    think('Some details are missing.'),
    {
      ask: {
        call_id: 'q1',
        tool_name: 'elicit',
        parameters: {
          message: 'Where does the journey begin?',
          requested_schema: {
            type: 'object',
            required: ['city'],
            properties: {
              city: { type: 'string', title: 'City' },
              day: { type: 'string', format: 'date', title: 'Day' },
              seats: { type: 'integer', title: 'Seats', minimum: 1, maximum: 9, default: 2 },
              place: { type: 'string', title: 'Place', enum: ['window', 'aisle'] },
              quiet: { type: 'boolean', title: 'In the quiet carriage' },
            },
          },
        },
      },
    },
    { answer: 'Found a train.' },
  ),
  rehearsal(
    'A message that joins in',
    think('Write something now and choose “join in”: it is taken up when you have answered the question.'),
    { ask: { call_id: 'q1', tool_name: 'approve', parameters: { question: 'Go on, with what you have written meanwhile?' } } },
    { answer: 'You added:\n\n' },
    { take: true },
    { answer: '\nThat is everything.' },
  ),
  rehearsal(
    'An answer in Markdown',
    think('Headings, a list, a table and code.'),
    { answer: '## Packing\n\n- [x] tickets\n- [ ] coat, since **rain** is *likely*\n\n' },
    { answer: '| Day | Sky | High |\n|:--|:-:|--:|\n| Mon | rain | 11 °C |\n| Tue | sun | 14 °C |\n\n' },
    { answer: '```js\nconst warm = days.filter((day) => day.high > 12);\n```\n\n> Questions? Write to [Ada](mailto:ada@example.org).' },
  ),
  rehearsal(
    'A tool that fails',
    think('The tool will report an error, and the run goes on.'),
    tool('c1', 'fetch_page', 200, { parameters: { page: 'missing' }, error: 'the page does not exist' }),
    { answer: 'I could not read that page.' },
  ),
  rehearsal('The agent fails', think('Something will go wrong.'), { fail: 'the agent gave up' }),
  rehearsal('The agent panics', think('A panic is caught, and the run ends.'), { panic: 'a bug in the agent' }),
  rehearsal('The agent hangs', think('Nothing will follow, until the step limit ends it or you do.'), { hang: true }),
  rehearsal(
    'Illegal: close a call never opened',
    think('RUN-4 forbids this; the run fails as a violation.'),
    { illegal: 'complete_unopened_call' },
  ),
  rehearsal(
    'Illegal: complete with a call open',
    think('RUN-5 forbids this.'),
    { illegal: 'complete_with_open_call' },
  ),
  rehearsal('Illegal: open a call twice', think('RUN-4 forbids this too.'), { illegal: 'reopen_call' }),
  rehearsal('Illegal: a tool before thinking', { illegal: 'tool_before_thinking' }),
  { name: 'A script that does not parse', agent_name: 'rehearsal', text: '{"steps": [{"think": 5' },
  rehearsal(
    'Markup stays text',
    think('<b>bold?</b> <img src=x onerror=alert(1)>'),
    tool('c1', 'echo', 100, {
      parameters: { html: '<script>alert(2)</script>' },
      results: '<iframe src=javascript:alert(3)></iframe>',
    }),
    { answer: 'An answer with <u>markup</u> & entities &amp; all.' },
  ),
]);
